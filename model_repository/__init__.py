"""Templates of the models that Triton Server loads; package data, read with importlib.resources."""
