"""The torch side of each family of denoisers, one file each. Knows nothing of denoising."""
