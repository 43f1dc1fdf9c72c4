"""Which samples to take, so that every class keeps its share.

Every class gets count * share samples, rounded down; what is left goes to the largest remainders (Hamilton's
method). Ties and the choice within a class follow the raw output of PCG64, a stream that numpy keeps fixed
for good (NEP 19), so that a split is the same on every machine and in every numpy version. The methods of
`Generator` give no such guarantee.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shuffled_indices(samples: int, *, seed: int, stream: int = 0) -> NDArray[np.int64]:
    """A permutation of 0 … samples - 1: int64 (samples,), fixed by `seed` and `stream`, both not negative."""
    source = np.random.PCG64(np.random.SeedSequence([seed, stream]))
    return np.argsort(source.random_raw(samples), kind="stable").astype(np.int64)


def stratified_indices(labels: NDArray[np.int64], *, count: int, seed: int, stream: int = 0) -> NDArray[np.int64]:
    """Choose `count` samples with the class shares of `labels`.

    Args:
        labels: int64 (samples,), the class of each sample.
        count: how many to choose, 0 … samples.
        seed: not negative; equal seeds choose equal samples.
        stream: tells independent choices under one seed apart.

    Returns:
        int64 (count,), ascending positions in `labels`. The share of no class is off by one sample or more.
    """
    order = shuffled_indices(len(labels), seed=seed, stream=stream)
    classes, first_seen, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    quotas, remainders = np.divmod(sizes.astype(np.int64) * count, max(len(labels), 1))
    # Equal remainders go to the class that comes first in the shuffle, not to the class of the smallest number.
    by_remainder = np.lexsort((first_seen, -remainders))
    quotas[by_remainder[: count - int(quotas.sum())]] += 1
    chosen = [order[labels[order] == label][:quota] for label, quota in zip(classes, quotas, strict=True)]
    return np.sort(np.concatenate([np.empty(0, np.int64), *chosen]))
