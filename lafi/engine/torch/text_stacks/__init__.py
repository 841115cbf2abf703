"""The torch side of each text stack, one file each. Knows nothing of denoising."""
