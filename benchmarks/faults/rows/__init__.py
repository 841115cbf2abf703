"""The tests, one module for each kind of harm."""
