"""An IP-Adapter of a model: from its published file to the denoiser's weights and an encoder."""
