"""What each family of denoisers does with torch, one file each. Knows nothing of denoising."""
