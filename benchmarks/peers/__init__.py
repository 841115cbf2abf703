"""Other methods to share features between pictures, for comparison. None of them is served."""
