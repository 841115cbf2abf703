"""Several characters in a panel: who is drawn where, and how that is measured."""
