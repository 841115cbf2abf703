"""A running server under load: arrival rates, queues, established load generators."""
