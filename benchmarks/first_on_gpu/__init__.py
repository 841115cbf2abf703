"""What a GPU is asked first, in two calls of at most five minutes. Knows no servers."""
