"""Other ways to share features between pictures, to be compared with. None of them is served."""
