"""What a running server does under load: arrival rates, queues, other people's load generators."""
