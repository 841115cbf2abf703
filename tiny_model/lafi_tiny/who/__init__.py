"""The recogniser: who is in a picture. Networks, training, export, and how well they tell."""
