"""`python -m lafi_tiny`: the bundled model's training, its figures and its files."""

from lafi_tiny.stages.commands import app

if __name__ == "__main__":
    app()
