"""Interval analysis: bounds of synaptic sums, currents and membranes over every possible input.

    sum        Σ w·x lies in [Σ min(w·lo, w·hi), Σ max(w·lo, w·hi)] for x in [lo, hi]
    current    u(t) = α·u(t-1) + a
    membrane   v(t) = β·v(t-1) + u(t) + bias

Lowering chooses weight scales with the real-valued bounds and audits Programs with the integer ones; the simulators
choose their integer widths by them. All results are bounds: no input exceeds them, and none need reach them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Number
from neuroprivacy.kernels.neuron import DECAY_BITS, DECAY_ONE, Reset

#: Lowest and highest value.
Bounds = tuple[int, int]
#: Port -> bounds of its values; a source that is not named sends spikes.
Ranges = Mapping[str, Bounds]
SPIKES: Bounds = (0, 1)
#: More than any width of a target holds.
UNBOUNDED = 2**62
#: The largest event count that `event_limit` returns, and the largest sum of 16 bits.
_LARGEST_COUNT = 2**31 - 1
_SHORT = 2**15 - 1
#: Weights that `event_limit` counts at once.
_WEIGHTS_AT_ONCE = 2**20


def sum_bounds(weight: NDArray[Number], values: Bounds, *, window: int = 1) -> tuple[NDArray[Number], NDArray[Number]]:
    """Lowest and highest Σ w·x of one time step, each (outputs,).

    Args:
        weight: (outputs, ...): all axes but the first are summed.
        values: bounds of x.
        window: source values that a sum pool adds up before the weight.
    """
    flat = weight.reshape(len(weight), -1) * window
    low, high = flat * values[0], flat * values[1]
    return np.minimum(low, high).sum(1), np.maximum(low, high).sum(1)


def state_bounds(
    activation: Bounds,
    *,
    u_init: Bounds,
    v_init: Bounds,
    bias: Bounds,
    factors: tuple[int, int],
    shift: int,
    theta: int,
    reset: Reset | None,
    steps: int,
) -> tuple[Bounds, Bounds]:
    """Bounds of u and of v before the threshold test, with the extreme input in each of `steps` time steps.

    A spike leaves v at most at the threshold (hard reset) or lowers it by the threshold (soft reset), so only the
    lower bound and the surplus of one time step accumulate.

    Args:
        activation: bounds of the synaptic sum of one time step.
        u_init: bounds of u before the first time step; likewise `v_init`.
        bias: bounds of the bias.
        factors: decay factors of u and v in 1/4096, the largest of the population.
        shift: bits by which a synaptic sum is shifted before it enters u.
        theta: the largest threshold, in least significant bits of v.
        reset: rule; None for neurons that only integrate.
        steps: time steps.
    """
    u_low, u_high = min(0, u_init[0]), max(0, u_init[1])
    v_low, v_high = min(0, v_init[0]), max(0, v_init[1])
    u_range, v_range = (u_low, u_high), (v_low, v_high)
    for _ in range(steps):
        u_low = _decayed(u_low, factors[0]) + (activation[0] << shift)
        u_high = _decayed(u_high, factors[0]) + (activation[1] << shift)
        v_low = min(0, _decayed(v_low, factors[1]) + u_low + bias[0])
        v_high = max(0, _decayed(v_high, factors[1]) + u_high + bias[1])
        u_range = min(u_range[0], u_low), max(u_range[1], u_high)
        v_range = min(v_range[0], v_low), max(v_range[1], v_high)
        if reset is not None:
            v_high = max(min(v_high, theta), v_high - theta if reset == "soft" else 0)
    return u_range, v_range


def _decayed(value: int, factor: int) -> int:
    """tz(value·factor / 4096) of Python integers, which do not overflow."""
    product = value * factor
    return product >> DECAY_BITS if product >= 0 else -(-product >> DECAY_BITS)


def membrane_bound(start: int, change: int, *, dv: int, steps: int | None = None) -> int:
    """An upper bound of |v|, before and after a reset, without saturation.

    |v(t)| <= β·|v(t-1)| + change, so |v| does not leave change / (1 - β) once it is below it.

    Args:
        start: the largest initial |v|.
        change: the most that current and bias add in one time step.
        dv: the smallest membrane decay of the population, in 1/4096.
        steps: time steps of a run; None for any number.
    """
    bounds = [] if steps is None else [start + steps * change]
    if dv > 0:
        bounds.append(max(start, -(-change * DECAY_ONE // dv)))
    return min(bounds, default=UNBOUNDED)


def accumulated(factor: float, steps: int) -> float:
    """1 + α + α² + ... of `steps` terms: the current that a constant input of 1 builds up."""
    return float(steps) if factor >= 1 else (1 - factor**steps) / (1 - factor)


def integrated_bound(
    activation: float, *, alpha: float, beta: float, bias: float, u_start: float, v_start: float, steps: int
) -> float:
    """The largest |v| of a real-valued neuron without spikes after `steps` time steps; all arguments are bounds of |x|.

    Args:
        activation: of the synaptic sum of one time step.
        alpha: decay factor of the current; likewise `beta` of the membrane.
        bias: of the bias of one time step.
        u_start: of the initial current; likewise `v_start`.
        steps: time steps.
    """
    u, v = u_start, v_start
    for _ in range(steps):
        u = alpha * u + activation
        v = beta * v + u + bias
    return v


def event_limit(weight: NDArray[np.generic], places: int) -> int:
    """Number of coincident events of which 16 bits hold the sum in every neuron, whichever sources send them.

    The worst case is the largest weights of one sign. Partial sums may leave 16 bits: their wraps cancel.

    Args:
        weight: integers of at most 8 bits, (neurons, sources).
        places: events that a source can send in one time step (the places of a pool's window).
    """
    limit, sizes = _LARGEST_COUNT, np.arange(128, 0, -1)
    rows = max(1, _WEIGHTS_AT_ONCE // weight.shape[1])
    for first in range(0, len(weight), rows):
        some = weight[first : first + rows].astype(np.int16)
        for one_sided in (np.maximum(some, 0), np.maximum(-some, 0)):
            exceeding = one_sided[one_sided.sum(axis=1, dtype=np.int64) * places > _SHORT]
            if not len(exceeding):
                continue
            numbered = exceeding + 129 * np.arange(len(exceeding))[:, None]
            counts = np.bincount(numbered.ravel(), minlength=129 * len(exceeding)).reshape(-1, 129)
            events = counts[:, :0:-1] * places  # of each size, from the largest weights down
            coincident, total = events.cumsum(axis=1), (events * sizes).cumsum(axis=1)
            full = (total > _SHORT).argmax(axis=1)
            before, held = (
                np.take_along_axis(np.pad(x, ((0, 0), (1, 0))), full[:, None], 1) for x in (coincident, total)
            )
            limit = min(limit, int((before[:, 0] + (_SHORT - held[:, 0]) // sizes[full]).min()))
    return limit
