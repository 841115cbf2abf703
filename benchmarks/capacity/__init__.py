"""From measured times to pods, GPUs and cost, and a simulation to check the model against."""
