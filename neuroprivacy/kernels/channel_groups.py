"""Which rows of a weight matrix share a unit, where a chip has one unit for a population of neurons.

A layer on a chip that has one threshold per population needs one unit for all its weights: what the largest output
channel asks for is coarse for the others. Populations of channels that ask for about the same lose less, at the cost of
more populations. The error of a row's sums grows with the square of its unit, so of all ways to cut the rows into
`count` groups, each with the largest unit that one of its rows asks for, the best has the least Σ unit².
"""

from __future__ import annotations

import numpy as np

from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.rounding import SAME

#: Rounding noise of a layer's weights, as a share of their own size, that is worth no further population; chosen.
TOLERATED = 0.01
#: By how much splitting has to lower the square of that noise to be done at all; chosen.
_WORTH = 2.0
#: So much more of it than with all allowed populations is taken for fewer of them; chosen.
_SLACK = 1.3
#: Rows whose units differ by less are not told apart: steps of the logarithm.
_STEPS_PER_OCTAVE = 16


def group_by_unit(wanted: Float64, weight_size: float, *, most: int) -> Int64:
    """Group of each row, (rows,), numbered from the smallest unit.

    Args:
        wanted: the unit that each row asks for by itself, (rows,).
        weight_size: root mean square of the layer's weights.
        most: groups that are allowed.
    """
    one = np.zeros(len(wanted), np.int64)
    order = np.argsort(wanted, kind="stable")
    steps = np.ceil(np.log2(np.maximum(wanted[order], 1e-300)) * _STEPS_PER_OCTAVE)
    starts = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))  # rows from here on have the next larger unit
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
    """Each row's value becomes the largest of its group, (rows,)."""
    largest = np.full(int(group.max()) + 1, -np.inf)
    np.maximum.at(largest, group, values)
    return np.asarray(largest[group], np.float64)


def alike(units: Float64) -> Int64:
    """Group of each unit, (rows,), numbered from the smallest: those that differ by rounding alone share one."""
    order = np.argsort(units, kind="stable")
    steps = np.diff(units[order]) > SAME * units[order][:-1]
    group = np.zeros(len(units), np.int64)
    group[order[1:]] = np.cumsum(steps)
    return group
