"""From measured times to pods, GPUs and cost, and a simulation that the model is checked against."""
