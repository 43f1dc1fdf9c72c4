"""Neurons from continuous time to time steps of length dt: decay factors and input gain.

    IF, I          dv/dt = R I                    v = v + (R dt) I
    LIF, LI        τ dv/dt = (v_leak - v) + R I   v = β v + (1 - β)(R I + v_leak)
    CubaLIF, -LI   τs dI/dt = -I + w_in S         i = α i + (1 - α) w_in S,  then v as above with the new i
    Threshold      z = x > θ                      v = x

with β = 1 - dt/τ and α = 1 - dt/τs (forward Euler, the rule of NIR's frameworks), or β = exp(-dt/τ), α = exp(-dt/τs)
(`exponential`: exact for input that is constant within a step; Rockpool's rule). The synaptic current enters v in the
same step, as on a chip and in snnTorch's Synaptic.

A hard reset to v_reset ≠ 0 is a reset to 0 of v - v_reset, which starts at -v_reset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import nir
import numpy as np

from neuroprivacy.core.errors import ConfigurationError, Issue, UnsupportedNode
from neuroprivacy.kernels.formats import Float64
from neuroprivacy.kernels.neuron import Reset

#: Neurons that spike, and neurons that only integrate.
SPIKING = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)
SILENT = (nir.I, nir.LI, nir.CubaLI)
NEURONS = SPIKING + SILENT
Rule = Literal["euler", "exponential"]
RULES: tuple[str, ...] = get_args(Rule)
#: Time steps per smallest time constant where neither options nor graph state a time step.
_STEPS_PER_TAU = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepNeuron:
    """A neuron in time steps; arrays (neurons,), or (1,) where the file holds one value for all.

        u = alpha·u + gain·I      v = beta·v + u + bias      spike if v > threshold, then v = 0 or v - threshold

    Attributes:
        shape: of the population; () where the file holds single values.
        start: v before the first time step.
        threshold: infinite for neurons that only integrate.
        fires: whether it spikes.
    """

    shape: tuple[int, ...]
    alpha: Float64
    beta: Float64
    gain: Float64
    bias: Float64
    threshold: Float64
    start: Float64
    fires: bool = True


def decay_factor(tau_s: Float64, dt_s: float, rule: Rule) -> Float64:
    """The share of a state that remains after one time step: 1 - dt/τ, or exp(-dt/τ); 0 ... 1."""
    return np.exp(-dt_s / tau_s) if rule == "exponential" else 1 - dt_s / tau_s


def discretize(name: str, node: Any, *, dt_s: float, reset: Reset = "hard", rule: Rule = "euler") -> StepNeuron:
    """A neuron node in time steps of `dt_s` seconds.

    Raises:
        UnsupportedNode: dt is longer than a time constant (Euler would overshoot), a threshold does not lie above the
            reset, or a soft-reset neuron states a value to reset to.
    """
    fields = {f: _values(node, f) for f in _FIELDS if getattr(node, f, None) is not None}
    shape = max((array.shape for array in fields.values()), key=math.prod)
    flat = {f: np.broadcast_to(array, shape).reshape(-1) for f, array in fields.items()}
    zero = np.zeros(math.prod(shape))
    for field in ("tau", "tau_mem", "tau_syn"):
        if field in flat and rule == "euler" and flat[field].min() < dt_s:
            raise UnsupportedNode(
                f"{name}: {field} ({flat[field].min():g} s) is shorter than dt ({dt_s:g} s); give a smaller --dt"
            )
    tau = flat.get("tau", flat.get("tau_mem"))
    resistance = flat.get("r", zero + 1)
    if isinstance(node, nir.Threshold):
        beta, gain = zero, zero + 1
    elif tau is None:
        beta, gain = zero + 1, resistance * dt_s
    else:
        beta = decay_factor(tau, dt_s, rule)
        gain = resistance * (1 - beta)
    bias = flat.get("v_leak", zero) * (1 - beta)
    alpha = zero
    if "tau_syn" in flat:
        alpha = decay_factor(flat["tau_syn"], dt_s, rule)
        gain = gain * (1 - alpha) * flat.get("w_in", zero + 1)
    if isinstance(node, SILENT):
        return StepNeuron(
            shape=shape, alpha=alpha, beta=beta, gain=gain, bias=bias, threshold=zero + np.inf, start=zero, fires=False
        )
    threshold = flat.get("v_threshold", flat.get("threshold", zero))
    to = flat.get("v_reset", zero)
    if to.any() and reset == "soft":
        raise UnsupportedNode(f"{name}: subtracts its threshold, yet states a value to reset to ({_far(to):g}); use 0")
    if (threshold <= to).any():
        raise UnsupportedNode(
            f"{name}: threshold ({(threshold - to).min():g} above the reset) is not positive; rescale the layer"
        )
    return StepNeuron(
        shape=shape, alpha=alpha, beta=beta, gain=gain, bias=bias - to * (1 - beta), threshold=threshold - to, start=-to
    )


_FIELDS = ("tau", "tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "threshold", "v_reset")


def _values(node: Any, field: str) -> Float64:
    return np.asarray(getattr(node, field), np.float64)


def _far(values: Float64) -> float:
    return float(values.reshape(-1)[int(np.argmax(np.abs(values)))])


def derive_dt(graph: nir.NIRGraph) -> tuple[float, tuple[Issue, ...]]:
    """A time step for a graph that states none, seconds, and diagnostics.

    With this time step the input gain of every neuron is 1: frameworks that compute in time steps write such files.
    Where neurons imply no common one it is a tenth of the smallest time constant, with a diagnostic.

    Raises:
        ConfigurationError: the graph holds no time constant either; the step has to be given.
    """
    gain_one: list[float] = []
    constants: list[float] = []
    for node in graph.nodes.values():
        if isinstance(node, nir.IF | nir.I):
            gain_one += (1 / _values(node, "r")).reshape(-1).tolist()
        elif isinstance(node, nir.LIF | nir.LI):
            gain_one += (_values(node, "tau") / _values(node, "r")).reshape(-1).tolist()
            constants += _values(node, "tau").reshape(-1).tolist()
        elif isinstance(node, nir.CubaLIF | nir.CubaLI):
            gain_one += (_values(node, "tau_mem") / _values(node, "r")).reshape(-1).tolist()
            gain_one += (_values(node, "tau_syn") / _values(node, "w_in")).reshape(-1).tolist()
            constants += _values(node, "tau_mem").reshape(-1).tolist() + _values(node, "tau_syn").reshape(-1).tolist()
    if gain_one and np.isfinite(gain_one).all() and min(gain_one) > 0 and np.ptp(gain_one) <= 1e-4 * max(gain_one):
        return float(np.median(gain_one)), ()
    if constants:
        dt_s = min(constants) / _STEPS_PER_TAU
        what = f"the graph states no time step; {dt_s:g} s is a tenth of its smallest time constant"
        return dt_s, (Issue(where="dt", what=what, hint="give --dt if the input has another one", fatal=False),)
    if not gain_one:
        return 1.0, ()  # no neuron of this graph has a time constant
    raise ConfigurationError("dt: the graph does not say its time step and its neurons imply no common one; give --dt")
