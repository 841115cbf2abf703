"""The bundled model's networks and training stages: autoencoder, reader, denoiser, few steps."""
