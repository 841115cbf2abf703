"""Keeping the deep blocks' features from one step to the next (DeepCache, arXiv:2312.00858)."""
