"""Published architectures as config files, one file for each kind. Knows numbers, no weights."""
