"""Groups of output channels with a common weight scale, for chips with one scale per population of neurons.

One scale for a whole layer is that of its largest output channel, and coarse for the others. Populations of channels
with similar scales have a smaller rounding error, at the cost of more populations. The error of a row's sums grows with
the square of its scale. Of all partitions of the rows into a number of groups, each with the largest scale of its rows,
the best has the least Σ scale².
"""

from __future__ import annotations

import numpy as np

from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.rounding import SAME

#: Rounding noise of a layer's weights, relative to their size, that needs no further population; chosen.
TOLERATED = 0.01
#: Least factor by which a split has to lower the square of that noise; chosen.
_WORTH = 2.0
#: Largest factor by which fewer populations may exceed the squared noise of all allowed ones; chosen.
_SLACK = 1.3
#: Resolution at which the scales of rows are distinguished: steps per octave.
_STEPS_PER_OCTAVE = 16


def group_by_unit(wanted: Float64, weight_size: float, *, most: int) -> Int64:
    """Group of each row, (rows,), numbered from the smallest scale.

    Args:
        wanted: the best scale of each row by itself, (rows,).
        weight_size: root mean square of the layer's weights.
        most: allowed groups.
    """
    one = np.zeros(len(wanted), np.int64)
    order = np.argsort(wanted, kind="stable")
    steps = np.ceil(np.log2(np.maximum(wanted[order], 1e-300)) * _STEPS_PER_OCTAVE)
    starts = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))  # first row of each scale
    ends = np.append(starts[1:], len(order))
    tops = wanted[order][ends - 1]
    cuts = _best_cuts(ends - starts, tops, min(most, len(starts)))
    cost = [_cost(ends - starts, tops, cut) for cut in cuts]
    noise_squared = np.array(cost) / len(wanted) / 12 / max(weight_size, 1e-300) ** 2
    if noise_squared[0] <= max(TOLERATED**2, _WORTH * noise_squared[-1]):
        return one
    enough = noise_squared <= max(TOLERATED**2, _SLACK * noise_squared[-1])
    chosen = cuts[int(np.argmax(enough))]
    group = np.searchsorted(np.array(chosen), np.arange(len(starts)), side="right")
    result = one.copy()
    result[order] = np.repeat(group, ends - starts)
    return result


def _best_cuts(counts: Int64, tops: Float64, most: int) -> list[tuple[int, ...]]:
    """For 1 ... `most` groups of neighbours: where each but the first begins; least Σ count·top² (dynamic program)."""
    total = len(counts)
    upto = np.concatenate([[0], np.cumsum(counts)])
    # best[j]: least cost of the first j entries with so many groups; from_[g][j]: where the last of them begins.
    best = np.concatenate([[0.0], upto[1:] * tops**2])
    from_ = [np.zeros(total + 1, np.int64)]
    cuts: list[tuple[int, ...]] = [()]
    for groups in range(1, most):
        nearest, origin = np.full(total + 1, np.inf), np.zeros(total + 1, np.int64)
        for j in range(groups + 1, total + 1):
            candidates = best[groups:j] + (upto[j] - upto[groups:j]) * tops[j - 1] ** 2
            origin[j] = groups + int(np.argmin(candidates))
            nearest[j] = candidates[origin[j] - groups]
        best = nearest
        from_.append(origin)
        at, found = total, []
        for table in reversed(from_[1:]):
            at = int(table[at])
            found.append(at)
        cuts.append(tuple(reversed(found)))
    return cuts


def _cost(counts: Int64, tops: Float64, cuts: tuple[int, ...]) -> float:
    """Σ count·top² of groups that begin at `cuts`."""
    ends = [*cuts, len(counts)]
    return float(sum(c.sum() * tops[e - 1] ** 2 for c, e in zip(np.split(counts, cuts), ends, strict=True)))


def group_max(values: Float64, group: Int64) -> Float64:
    """The largest value of each row's group, (rows,)."""
    largest = np.full(int(group.max()) + 1, -np.inf)
    np.maximum.at(largest, group, values)
    return np.asarray(largest[group], np.float64)


def alike(scales: Float64) -> Int64:
    """Group of each scale, (rows,), numbered from the smallest; scales that differ by rounding alone share one."""
    order = np.argsort(scales, kind="stable")
    steps = np.diff(scales[order]) > SAME * scales[order][:-1]
    group = np.zeros(len(scales), np.int64)
    group[order[1:]] = np.cumsum(steps)
    return group
