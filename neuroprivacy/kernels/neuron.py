"""One step of a population of integer neurons, term by term as docs/reference/SEMANTICS.md defines it.

    a  = Σ over edges  W · x[t - delay]
    u  = wrap(tz(u·(4096 - du')) + (a << s))      du' = du + du_offset
    v  = saturate(tz(v·(4096 - dv)) + u + bias)
    z  = v > θ   or   v ≥ θ
    v  = 0 where z (hard)   or   v - θ where z (soft)
    tz(x) = sign(x)·(|x| >> 12)

Source: lava-nc 0.10.0, lava/proc/lif/models.py, for the Loihi form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Bools, Float64, Int64, Number, saturate, wrap_once

DECAY_BITS = 12
DECAY_ONE = 1 << DECAY_BITS
Reset = Literal["hard", "soft"]
ThresholdTest = Literal[">", ">="]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronRule:
    """The arithmetic of a target's neurons: number formats, decay, reset and refractory rules.

    Attributes:
        activation_shift: s, bits by which a synaptic sum is shifted up before it enters u.
        threshold_shift: bits by which the threshold mantissa is shifted up to be compared with v.
        du_offset: that the hardware adds to the current decay.
        keeps_current: whether u decays from one time step to the next; if not, u is the synaptic input of this one.
        u_half: 2**(bits-1) of the current, at which u wraps; 0 if u is not kept.
        v_lowest: v saturates below at v_lowest and above at `v_highest`.
        threshold_test: `>` or `>=`.
    """

    activation_shift: int
    threshold_shift: int
    du_offset: int
    keeps_current: bool
    u_half: int
    v_lowest: int
    v_highest: int
    threshold_test: ThresholdTest


def decay(value: Int64, *, by: Int64 | int) -> Int64:
    """tz(value·(4096 - by)): multiply by (1 - by/4096) and drop the fraction towards zero; any shape, broadcast."""
    product = value * (DECAY_ONE - np.asarray(by, np.int64))
    decayed: Int64 = np.sign(product) * (np.abs(product) >> DECAY_BITS)
    return decayed


def decay_by_factor(value: Float64, *, factor: Float64 | float, truncates: bool) -> Float64:
    """value·factor, with the fraction dropped towards zero if `truncates`; any shape, broadcast.

    With a factor of (4096 - d)/4096 and truncation it equals `decay` on every integer below 2**40.
    """
    product = value * np.asarray(factor, np.float64)
    return np.trunc(product) if truncates else product


def crosses_threshold(v: NDArray[Number], theta: NDArray[Number], test: ThresholdTest) -> Bools:
    """Whether a membrane passes the threshold test; both in the membrane's least significant bits."""
    crossed: Bools = v > theta if test == ">" else v >= theta
    return crossed


def integrate_current(u: Int64, activation: Int64, *, du: Int64 | int, rule: NeuronRule) -> tuple[Int64, Int64]:
    """The new current, and a mask of its wraps.

    Args:
        u: current of the time step before, least significant bits, any shape.
        activation: synaptic sum a of this time step, integer weight steps, same shape.
        du: current decay 0 ... 4095, before the hardware's offset.
        rule: the target's arithmetic.

    Returns:
        u and a mask of the neurons whose current wrapped, both of the shape of `u`.
    """
    incoming = activation << rule.activation_shift
    if not rule.keeps_current:
        return incoming, np.zeros(incoming.shape, np.int64)
    unwrapped = decay(u, by=np.asarray(du, np.int64) + rule.du_offset) + incoming
    wrapped = wrap_once(unwrapped, half=rule.u_half)
    return wrapped, (wrapped != unwrapped).astype(np.int64)


def integrate_membrane(
    v: Int64, u: Int64, *, dv: Int64 | int, bias: Int64 | int, rule: NeuronRule
) -> tuple[Int64, Int64]:
    """The new membrane before the threshold test, and a mask of its saturations; shapes as in `integrate_current`."""
    free = decay(v, by=dv) + u + bias
    held = saturate(free, lowest=rule.v_lowest, highest=rule.v_highest)
    return held, (held != free).astype(np.int64)


def fire_and_reset(v: Int64, *, threshold: Int64, reset: Reset, fires: bool, rule: NeuronRule) -> tuple[Int64, Int64]:
    """Spikes (0 or 1) and the membrane after reset.

    Args:
        v: membrane after saturation, least significant bits.
        threshold: mantissa (before the shift), broadcast against `v`.
        reset: "hard" sets v to 0, "soft" subtracts the threshold, in the same step.
        fires: false for a readout layer that only integrates.
        rule: the target's arithmetic.
    """
    if not fires:
        return np.zeros(v.shape, np.int64), v
    theta = threshold << rule.threshold_shift
    fired = crosses_threshold(v, theta, rule.threshold_test)
    after = np.where(fired, v - theta if reset == "soft" else 0, v)
    return fired.astype(np.int64), after
