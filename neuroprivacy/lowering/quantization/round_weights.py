"""Weight scale and rounding of weights: both minimise the mean squared error of the layer's sums.

With the rounding error D = W - s·Q of the weights and the input second moments H = E[x xᵀ], that error is tr(D H Dᵀ).
Without samples H is I + c·11ᵀ: sources that are equally active, independent and not negative share a mean.

`nearest` rounds each weight by itself. `compensated` is error feedback (GPTQ): it rounds column by column and
distributes each error over the columns still to come, as far as their sources are correlated. Source: Frantar et al.
2022 (GPTQ), after Hassibi and Stork 1993 (optimal brain surgeon).
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
#: The best scales on the diagonal of H that are compared on all of H.
_FINALISTS = 6
#: Added to the diagonal of H, as a fraction of its mean: Frantar et al. use a hundredth.
_DAMPING = 0.01
#: c of spikes: independent ones of rate r have E[x xᵀ] = r(1 - r)·I + r²·11ᵀ, so c = r/(1 - r); r = 0.1 is chosen.
COMMON_OF_SPIKES = 0.1 / 0.9
#: c of graded input that is not negative: neighbouring pixels are nearly equal; chosen.
COMMON_OF_GRADED = 20.0
#: Columns that are rounded before their errors are applied to the others (Frantar et al., step 2: lazy batches).
_COLUMNS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The legal integer weights: low ... high."""

    low: int
    high: int

    def rounded(self, scaled: Float64) -> Float64:
        """The nearest representable integers, as floats."""
        return np.clip(np.rint(scaled), self.low, self.high)


def weight_grid(bits: WeightBits) -> Grid:
    """The integers of a width: 2 ... 8 bits in two's complement, or `ternary` (-1, 0, 1).

    Raises:
        ConfigurationError: there is no such width.
    """
    if bits == "ternary":
        return Grid(low=-1, high=1)
    if isinstance(bits, bool) or not isinstance(bits, int) or bits < 2:
        raise ConfigurationError(f"weight bits: {bits!r} is neither 'ternary' nor at least 2")
    return Grid(low=-(1 << (bits - 1)), high=(1 << (bits - 1)) - 1)


def sum_error(weight: Float64, scale: Float64, grid: Grid, second_moments: Float64 | None) -> Float64:
    """Mean squared error of each row's sums, (rows,), after rounding to the nearest.

    Args:
        weight: (groups, rows, columns).
        scale: (groups, rows, 1) or broadcastable.
        grid: integers.
        second_moments: of the input, (groups, columns, columns), or (groups, columns) for the diagonal alone, or
            None for the identity.
    """
    rounding_error = weight - grid.rounded(weight / scale) * scale
    moments = np.ones((1, weight.shape[2])) if second_moments is None else second_moments
    weighted = rounding_error * moments[:, None, :] if moments.ndim == 2 else rounding_error @ moments
    error: Float64 = (weighted * rounding_error).sum(-1)
    return error


def best_scale(weights: list[Float64], second_moments: list[Float64 | None], grid: Grid, *, by_row: bool) -> Float64:
    """The weight scale, (1,) or (rows,), with the least error of the sums.

    The search tries scales that clip ever more of the largest weights, of the layer or of each row (output channel) by
    itself; rows also try the layer's own scale, on which the weights may already lie.

    Args:
        weights: of each connection, (groups, rows, columns).
        second_moments: likewise, see `sum_error`.
        grid: integers.
        by_row: whether each row has its own scale.
    """
    common = np.array([max(float(np.abs(weight).max()) for weight in weights)]) / grid.high

    def errors(scale: Float64, *, full: bool) -> Float64:
        """Error of each row, or of the layer."""
        total = np.zeros(len(scale))
        for weight, known in zip(weights, second_moments, strict=True):
            moments = known if full or known is None or known.ndim == 2 else np.einsum("gcc->gc", known)
            each = sum_error(weight, scale.reshape(len(weight), -1, 1) if by_row else scale, grid, moments)
            total += each.reshape(-1) if by_row else each.sum()
        return total

    if by_row:
        tops = np.stack([np.abs(weight).max(-1).reshape(-1) for weight in weights]).max(0)
        own = np.where(tops > 0, tops / grid.high, common)
        scales = [np.broadcast_to(common, own.shape), *(own * end for end in ENDS)]
        table = np.stack([errors(scale, full=False) for scale in scales])
        chosen = np.take_along_axis(np.stack(scales), table.argmin(0)[None], 0)
        return np.asarray(chosen[0], np.float64)
    fractions: list[Float64] = [np.array(common * end) for end in ENDS]
    rough = np.array([errors(scale, full=False)[0] for scale in fractions])
    finalists: list[Float64] = [fractions[int(i)] for i in np.argsort(rough)[:_FINALISTS]]
    if len(finalists) == 1 or all(known is None or known.ndim == 2 for known in second_moments):
        return finalists[0]
    return finalists[int(np.argmin([errors(scale, full=True)[0] for scale in finalists]))]


def round_weights(
    weight: Float64,
    scale: Float64,
    grid: Grid,
    second_moments: Float64 | None,
    rounding: Rounding,
    *,
    common: float = 0.0,
) -> Int64:
    """Round weights (groups, rows, columns) to integers.

    Args:
        weight: (groups, rows, columns).
        scale: (groups, rows, 1) or broadcastable.
        grid: integers.
        second_moments: see `sum_error`.
        rounding: `nearest` or `compensated`.
        common: c of the module's text, for `compensated` without samples.
    """
    if rounding == "compensated" and second_moments is None and common:
        return _with_common_feedback(weight, scale, grid, common).astype(np.int64)
    if rounding == "nearest" or second_moments is None or second_moments.ndim == 2:
        return grid.rounded(weight / scale).astype(np.int64)
    scale = np.broadcast_to(scale, (*weight.shape[:2], 1))
    per_group = zip(weight, scale, second_moments, strict=True)
    return np.stack([_with_feedback(w, s[:, 0], grid, h) for w, s, h in per_group]).astype(np.int64)


def _with_common_feedback(weight: Float64, scale: Float64, grid: Grid, common: float) -> Float64:
    """Error feedback for H = I + c·11ᵀ in closed form: each error is spread evenly over the columns still to come.

    An error e changes each of the m columns left by -e·c/(1 + c·m), as H⁻¹ has it (Sherman and Morrison).
    """
    columns = np.moveaxis(weight, 2, 0)
    steps = np.broadcast_to(scale, (*weight.shape[:2], 1))[..., 0]
    found = np.empty_like(columns)
    feedback = np.zeros(weight.shape[:2])
    for j, column in enumerate(columns):
        found[j] = grid.rounded((column + feedback) / steps)
        left = len(columns) - 1 - j
        feedback += (column + feedback - found[j] * steps) * common / (1 + common * left)
    return np.ascontiguousarray(np.moveaxis(found, 0, 2))


def _with_feedback(weight: Float64, scale: Float64, grid: Grid, second_moments: Float64) -> Float64:
    """Error feedback: round the columns of (rows, columns) one after another, the most active source first."""
    order = np.argsort(-np.diag(second_moments), kind="stable")
    damped = second_moments[np.ix_(order, order)].copy()
    dead = np.diag(damped) <= 0
    damped[np.diag_indices_from(damped)] += _DAMPING * max(float(np.diag(damped).mean()), 1e-30) + dead
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = np.ascontiguousarray(weight.T[order])  # columns first: each is one row of memory
    found, error = np.empty_like(left), np.empty_like(left)
    for first in range(0, len(left), _COLUMNS):
        block = slice(first, min(first + _COLUMNS, len(left)))
        for j in range(block.start, block.stop):
            found[j] = grid.rounded(left[j] / scale)
            error[j] = (left[j] - found[j] * scale) / upper[j, j]
            left[j + 1 : block.stop] -= upper[j, j + 1 : block.stop, None] * error[j]
        # The feedback to later blocks in one product: column by column would read their memory once per column.
        left[block.stop :] -= upper[block, block.stop :].T @ error[block]
    result = np.empty_like(found)
    result[order] = found
    return np.ascontiguousarray(result.T)
