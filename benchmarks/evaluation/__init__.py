"""Identity against leakage: pairs, methods, measures, intervals, plots and a page of pictures."""
