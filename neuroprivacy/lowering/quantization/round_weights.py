"""Real weights onto an integer grid: the scale by what rounding does to the layer's sums, and the rounding itself.

With D = W - s·Q the error that rounding leaves in the weights, and H the second moments of what the weights are
multiplied with, the mean squared error of the layer's sums is tr(D H Dᵀ). Without data H is taken as I + c·11ᵀ: sources
that are equally active and independent, and that are not negative, so that their mean is common to all of them.

`nearest` rounds each weight by itself. `compensated` rounds column by column and lets the columns still to come make up
for each error as far as their sources are correlated. Source: Frantar et al. 2022 (GPTQ), after Hassibi and Stork 1993
(optimal brain surgeon).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.formats import Float64, Int64, WeightBits

Rounding = Literal["nearest", "compensated"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)
#: Fractions of the largest weight that the scale search tries as the end of the integer range.
ENDS = tuple(float(end) for end in np.round(np.geomspace(1.0, 0.15, 48), 4))
#: How many scales that look best on the diagonal of H are compared on all of it.
_FINALISTS = 6
#: Added to the diagonal of H, as a fraction of its mean: Frantar et al. use a hundredth.
_DAMPING = 0.01
#: c of spikes: independent ones of rate r have E[x xᵀ] = r(1 - r)·I + r²·11ᵀ, so c = r/(1 - r); r = 0.1 is chosen.
COMMON_OF_SPIKES = 0.1 / 0.9
#: c of graded input that is not negative: neighbouring pixels are nearly equal; chosen.
COMMON_OF_GRADED = 20.0
#: Columns that are rounded before the others hear of their errors (Frantar et al., step 2: lazy batches).
_COLUMNS = 64


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


def round_weights(
    weight: Float64, scale: Float64, grid: Grid, moments: Float64 | None, rounding: Rounding, *, common: float = 0.0
) -> Int64:
    """Integers for weights (groups, rows, columns).

    Args:
        weight: (groups, rows, columns).
        scale: (groups, rows, 1) or broadcastable.
        grid: integers.
        moments: see `sum_error`.
        rounding: how.
        common: c of the module's text, for `compensated` without moments.
    """
    if rounding == "compensated" and moments is None and common:
        return _diffused(weight, scale, grid, common).astype(np.int64)
    if rounding == "nearest" or moments is None or moments.ndim == 2:
        return grid.rounded(weight / scale).astype(np.int64)
    scale = np.broadcast_to(scale, (*weight.shape[:2], 1))
    return np.stack([_compensated(w, s[:, 0], grid, h) for w, s, h in zip(weight, scale, moments, strict=True)]).astype(
        np.int64
    )


def _diffused(weight: Float64, scale: Float64, grid: Grid, common: float) -> Float64:
    """What `_compensated` does for H = I + c·11ᵀ: each error is spread evenly over the columns still to come.

    Of an error e the m columns left take over -e·c/(1 + c·m) each: what H⁻¹ gives, by Sherman and Morrison.
    """
    columns = np.moveaxis(weight, 2, 0)
    unit = np.broadcast_to(scale, (*weight.shape[:2], 1))[..., 0]
    found = np.empty_like(columns)
    owed = np.zeros(weight.shape[:2])
    for j, column in enumerate(columns):
        found[j] = grid.rounded((column + owed) / unit)
        left = len(columns) - 1 - j
        owed += (column + owed - found[j] * unit) * common / (1 + common * left)
    return np.ascontiguousarray(np.moveaxis(found, 0, 2))


def _compensated(weight: Float64, scale: Float64, grid: Grid, moments: Float64) -> Float64:
    """Round the columns of (rows, columns) one after another, the most active source first."""
    order = np.argsort(-np.diag(moments), kind="stable")
    damped = moments[np.ix_(order, order)].copy()
    dead = np.diag(damped) <= 0
    damped[np.diag_indices_from(damped)] += _DAMPING * max(float(np.diag(damped).mean()), 1e-30) + dead
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = np.ascontiguousarray(weight.T[order])  # columns first: each is one row of memory
    found, wrong = np.empty_like(left), np.empty_like(left)
    for first in range(0, len(left), _COLUMNS):
        block = slice(first, min(first + _COLUMNS, len(left)))
        for j in range(block.start, block.stop):
            found[j] = grid.rounded(left[j] / scale)
            wrong[j] = (left[j] - found[j] * scale) / upper[j, j]
            left[j + 1 : block.stop] -= upper[j, j + 1 : block.stop, None] * wrong[j]
        # What later blocks have to make up for, in one product: the columns themselves would be read once per column.
        left[block.stop :] -= upper[block, block.stop :].T @ wrong[block]
    result = np.empty_like(found)
    result[order] = found
    return np.ascontiguousarray(result.T)
