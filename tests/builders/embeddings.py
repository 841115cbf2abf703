"""Embeddings of characters' pictures, made from numbers."""

import numpy as np

WIDTH = 4


def embedding(seed: int) -> np.ndarray:
    """(WIDTH,) float32 of unit length, another one for each seed."""
    raw = np.random.default_rng(seed).normal(size=WIDTH)
    return (raw / np.linalg.norm(raw)).astype(np.float32)


def pictures(*seeds: int) -> dict[str, np.ndarray]:
    """What `EnrolmentDatabase.enrol` takes: an embedding for each, by 64 hexadecimal digits."""
    return {f"{seed:064x}": embedding(seed) for seed in seeds}
