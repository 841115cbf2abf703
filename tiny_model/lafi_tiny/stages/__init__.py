"""The training stages of the 128 px model: autoencoder, reader, denoiser."""
