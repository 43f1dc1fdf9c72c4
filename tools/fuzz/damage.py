"""Broken bytes: flips, cuts and swaps. The same generator state gives the same damage."""

from __future__ import annotations

import numpy as np

#: How many bytes are changed at once.
FLIPS = (1, 2, 8, 32, 200)


def flip(content: bytes, rng: np.random.Generator, number: int) -> bytes:
    """Change that many bytes, each to another value."""
    found = np.frombuffer(content, np.uint8).copy()
    places = rng.choice(len(found), min(number, len(found)), replace=False)
    found[places] ^= rng.integers(1, 256, len(places)).astype(np.uint8)
    return found.tobytes()


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave the end away."""
    return content[: int(rng.integers(len(content)))]


def swap(content: bytes, rng: np.random.Generator) -> bytes:
    """Exchange two blocks of equal size."""
    size = int(rng.integers(1, max(2, min(512, len(content) // 4))))
    first = int(rng.integers(len(content) - 2 * size))
    second = int(rng.integers(first + size, len(content) - size))
    return (
        content[:first] + content[second : second + size] + content[first + size : second]
        + content[first : first + size] + content[second + size :]
    )  # fmt: skip
