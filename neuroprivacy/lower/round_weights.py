"""Real weights onto an integer grid: the scale by what rounding does to the layer's sums, and the rounding itself.

With D = W - s·Q the error that rounding leaves in the weights, and H the second moments of what the weights are
multiplied with, the mean squared error of the layer's sums is tr(D H Dᵀ). Without data H is taken as the identity:
sources that are equally active and independent.

`nearest` rounds each weight by itself. `compensated` rounds column by column and lets the columns still to come make up
for each error as far as their sources are correlated. Source: Frantar et al. 2022 (GPTQ), after Hassibi and Stork 1993
(optimal brain surgeon).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from neuroprivacy.errors import ConfigurationError
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.lower.draft import Float64

Rounding = Literal["nearest", "compensated"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)
WeightBits = int | Literal["ternary"]
#: Fractions of the largest weight that the scale search tries as the end of the integer range.
ENDS = tuple(float(end) for end in np.round(np.geomspace(1.0, 0.15, 48), 4))
#: How many scales that look best on the diagonal of H are compared on all of it.
_FINALISTS = 6
#: Added to the diagonal of H, as a fraction of its mean: Frantar et al. use a hundredth.
_DAMPING = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The integers that a weight may be: low ... high."""

    low: int
    high: int

    def rounded(self, scaled: Float64) -> Float64:
        """The nearest of them, still as floats."""
        return np.clip(np.rint(scaled), self.low, self.high)


def weight_grid(bits: WeightBits) -> Grid:
    """The grid of a width: 2 ... 8 bits in two's complement, or `ternary` (-1, 0, 1).

    Raises:
        ConfigurationError: there is no such width.
    """
    if bits == "ternary":
        return Grid(low=-1, high=1)
    if isinstance(bits, bool) or not isinstance(bits, int) or bits < 2:
        raise ConfigurationError(f"weight bits: {bits!r} is neither 'ternary' nor at least 2")
    return Grid(low=-(1 << (bits - 1)), high=(1 << (bits - 1)) - 1)


def sum_error(weight: Float64, scale: Float64, grid: Grid, moments: Float64 | None) -> Float64:
    """Mean squared error of each row's sums, (rows,), after rounding to the nearest.

    Args:
        weight: (groups, rows, columns).
        scale: (groups, rows, 1) or broadcastable.
        grid: integers.
        moments: (groups, columns, columns), or (groups, columns) for the diagonal alone, or None for the identity.
    """
    wrong = weight - grid.rounded(weight / scale) * scale
    seen = np.ones((1, weight.shape[2])) if moments is None else moments
    weighted = wrong * seen[:, None, :] if seen.ndim == 2 else wrong @ seen
    error: Float64 = (weighted * wrong).sum(-1)
    return error


def best_unit(weights: list[Float64], moments: list[Float64 | None], grid: Grid, *, by_row: bool) -> Float64:
    """What one unit is worth, (1,) or (rows,), with the least error of the sums.

    Tried are units that clip ever more of the largest weights, of the layer or of each row (output channel) by itself;
    rows also try the layer's own unit, on which the weights may already lie.

    Args:
        weights: of each edge, (groups, rows, columns).
        moments: likewise, see `sum_error`.
        grid: integers.
        by_row: whether each row chooses by itself.
    """
    common = np.array([max(float(np.abs(weight).max()) for weight in weights)]) / grid.high

    def errors(unit: Float64, *, full: bool) -> Float64:
        """Error of each row, or of the layer."""
        total = np.zeros(len(unit))
        for weight, known in zip(weights, moments, strict=True):
            seen = known if full or known is None or known.ndim == 2 else np.einsum("gcc->gc", known)
            each = sum_error(weight, unit.reshape(len(weight), -1, 1) if by_row else unit, grid, seen)
            total += each.reshape(-1) if by_row else each.sum()
        return total

    if by_row:
        tops = np.stack([np.abs(weight).max(-1).reshape(-1) for weight in weights]).max(0)
        own = np.where(tops > 0, tops / grid.high, common)
        units = [np.broadcast_to(common, own.shape), *(own * end for end in ENDS)]
        table = np.stack([errors(unit, full=False) for unit in units])
        chosen = np.take_along_axis(np.stack(units), table.argmin(0)[None], 0)
        return np.asarray(chosen[0], np.float64)
    fractions: list[Float64] = [np.array(common * end) for end in ENDS]
    rough = np.array([errors(unit, full=False)[0] for unit in fractions])
    finalists: list[Float64] = [fractions[int(i)] for i in np.argsort(rough)[:_FINALISTS]]
    if len(finalists) == 1 or all(known is None or known.ndim == 2 for known in moments):
        return finalists[0]
    return finalists[int(np.argmin([errors(unit, full=True)[0] for unit in finalists]))]


def round_weights(weight: Float64, scale: Float64, grid: Grid, moments: Float64 | None, rounding: Rounding) -> Int64:
    """Integers for weights (groups, rows, columns); scale (groups, rows, 1) or broadcastable."""
    if rounding == "nearest" or moments is None or moments.ndim == 2:
        return grid.rounded(weight / scale).astype(np.int64)
    scale = np.broadcast_to(scale, (*weight.shape[:2], 1))
    return np.stack([_compensated(w, s[:, 0], grid, h) for w, s, h in zip(weight, scale, moments, strict=True)]).astype(
        np.int64
    )


def _compensated(weight: Float64, scale: Float64, grid: Grid, moments: Float64) -> Float64:
    """Round the columns of (rows, columns) one after another, the most active source first."""
    order = np.argsort(-np.diag(moments), kind="stable")
    damped = moments[np.ix_(order, order)].copy()
    dead = np.diag(damped) <= 0
    damped[np.diag_indices_from(damped)] += _DAMPING * max(float(np.diag(damped).mean()), 1e-30) + dead
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = weight[:, order].copy()
    found = np.empty_like(left)
    for j in range(left.shape[1]):
        found[:, j] = grid.rounded(left[:, j] / scale)
        wrong = (left[:, j] - found[:, j] * scale) / upper[j, j]
        left[:, j + 1 :] -= wrong[:, None] * upper[j, j + 1 :]
    result = np.empty_like(found)
    result[:, order] = found
    return result
