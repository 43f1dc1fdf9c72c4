"""Why an integer neuron decided otherwise than its float one: one rounding at a time is taken back.

Up to the first divergence both neurons saw the same spikes. So the integer neuron is computed once more by itself, on
the same input and with the same resets, each time with one of its parts replaced by the exact one. A part whose
replacement alone turns the decision is a cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.divergence.sides import Side
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.lowering import Lowered
from neuroprivacy.lowering.draft import DraftEdge, DraftLayer
from neuroprivacy.lowering.float_run import delayed_source
from neuroprivacy.program import Layer, Program
from neuroprivacy.runtime.reference import apply_map

#: Part -> what to call it; in the order in which they are tried and named.
CAUSES = {
    "wraps": "wrap of the current",
    "saturates": "saturation of the membrane",
    "start": "bias timing: the neuron does not start where it should",
    "alpha": "rounding of the current decay",
    "beta": "rounding of the membrane decay",
    "activation": "rounding of the weights",
    "threshold": "rounding of the threshold",
    "bias": "rounding of the bias",
    "truncates": "rounding of the states towards zero in each step",
}
ORDER_OR_DELAY = "delay or order: the sums that arrived are not those of the steps that they belong to"
TIE = "several roundings together"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neuron:
    """One neuron with everything that it does, in lsb of its membrane.

    Attributes:
        activation: what arrives in each step, (steps,).
        resets: whether it was reset in each step, (steps,).
        start: current and membrane before the first step.
        wraps: where the current wraps; 0 for never.
        saturates: where the membrane saturates (lowest, highest); None for never.
        truncates: whether decayed states drop their fraction.
        strict: whether equality does not fire.
    """

    activation: Float64
    resets: NDArray[np.bool_]
    start: tuple[float, float]
    alpha: float
    beta: float
    bias: float
    threshold: float
    soft: bool
    wraps: int
    saturates: tuple[int, int] | None
    truncates: bool
    strict: bool

    def membrane(self) -> float:
        """The membrane before the test of the last step."""
        u, v = self.start
        before = v
        for arrived, reset in zip(self.activation, self.resets, strict=True):
            u = self._left(u, self.alpha) + float(arrived)
            if self.wraps:
                u = u - 2 * self.wraps if u > self.wraps else u + 2 * self.wraps if u <= -self.wraps else u
            before = self._left(v, self.beta) + u + self.bias
            if self.saturates is not None:
                before = min(max(before, self.saturates[0]), self.saturates[1])
            v = (before - self.threshold if self.soft else 0.0) if reset else before
        return before

    def fires(self) -> bool:
        """Whether it spikes in the last step."""
        membrane = self.membrane()
        return membrane > self.threshold or (membrane == self.threshold and not self.strict)

    def _left(self, state: float, kept: float) -> float:
        return float(np.trunc(state * kept)) if self.truncates else state * kept


def find_causes(
    lowered: Lowered, inputs: Mapping[str, Int64], floats: Side, integers: Side, *, sample: int, step: int, layer: str,
    neuron: int,
) -> tuple[str, ...]:  # fmt: skip
    """Causes of the first divergence between a float and an integer run, the most telling first."""
    program = lowered.program
    whole = program.layer(layer)
    real = next(each for each in lowered.draft.layers if each.name == layer)
    shift = 1 << program.target.activation_shift
    unit = np.array(whole.scale)[neuron if len(whole.scale) > 1 else 0] / shift
    unit = unit / (real.unit[neuron] if real.unit.size > 1 else real.unit[0])
    spikes = {name: array[sample : sample + 1] for name, array in integers.spikes.items()}
    given = {name: array[sample : sample + 1] for name, array in inputs.items()}
    counted = _activation(whole, real.edges, given, spikes, step, neuron) * shift
    exact = _exact_activation(real.edges, given, spikes, step, neuron) / unit
    resets = np.asarray(integers.spikes[layer][sample, : step + 1, neuron], bool)
    resets[step] = False
    here = _integer_neuron(program, whole, counted, resets, _start(lowered, integers, layer, sample, neuron), neuron)
    if here.fires() != bool(integers.spikes[layer][sample, step, neuron]):
        return (ORDER_OR_DELAY,)
    wanted = bool(floats.spikes[layer][sample, step, neuron])
    parts = _exact_parts(real, exact, unit, neuron)
    alone = [part for part in CAUSES if replace(here, **{part: parts[part]}).fires() == wanted]
    if alone:
        return tuple(CAUSES[part] for part in alone)
    together: dict[str, Any] = {}
    for part in CAUSES:
        together[part] = parts[part]
        if replace(here, **together).fires() == wanted:
            break
    for part in CAUSES:  # what is not needed for it goes again
        fewer = {name: exact for name, exact in together.items() if name != part}
        if replace(here, **fewer).fires() == wanted:
            together = fewer
    return (f"{TIE}: {', '.join(CAUSES[part] for part in together)}",)


def _activation(
    layer: Layer, edges: tuple[DraftEdge, ...], inputs: Mapping[str, Int64], spikes: Mapping[str, NDArray[np.uint8]],
    step: int, neuron: int,
) -> Float64:  # fmt: skip
    """The integer sums that one neuron should have received in steps 0 ... step."""
    total = np.zeros(step + 1)
    for edge, real in zip(layer.edges, edges, strict=True):
        seen = delayed_source(real, inputs, spikes, 0, step + 1)[0].astype(np.int64)
        total += apply_map(edge.map, seen)[:, neuron]
    return total


def _exact_activation(
    edges: tuple[DraftEdge, ...], inputs: Mapping[str, Int64], spikes: Mapping[str, NDArray[np.uint8]], step: int,
    neuron: int,
) -> Float64:  # fmt: skip
    """The same with the real weights."""
    total = np.zeros(step + 1)
    for edge in edges:
        total += edge.apply(delayed_source(edge, inputs, spikes, 0, step + 1)[0])[:, neuron]
    return total


def _start(lowered: Lowered, side: Side, layer: str, sample: int, neuron: int) -> tuple[float, float]:
    """Current and membrane of the integer neuron before its first input can arrive."""
    idle = (lowered.draft.depth or {})[layer]
    whole = lowered.program.layer(layer)
    run = side.integers
    if idle == 0 or run is None or run.states_u is None or run.states_v is None:
        return float(whole.u_init[neuron]), float(whole.v_init[neuron])
    return float(run.states_u[layer][sample, idle - 1, neuron]), float(run.states_v[layer][sample, idle - 1, neuron])


def _integer_neuron(
    program: Program, layer: Layer, activation: Float64, resets: NDArray[np.bool_], start: tuple[float, float],
    neuron: int,
) -> Neuron:  # fmt: skip
    """The neuron as the chip computes it."""
    target = program.target
    rule = target.rule

    def value(array: Int64) -> int:
        """A constant of this neuron."""
        return int(array[neuron if array.size > 1 else 0])

    kept = (DECAY_ONE - value(layer.du) - rule.du_offset) / DECAY_ONE if rule.keeps_current else 0.0
    return Neuron(
        activation=activation, resets=resets, start=start, alpha=kept, beta=1 - value(layer.dv) / DECAY_ONE,
        bias=float(layer.bias[neuron]), threshold=float(value(layer.threshold) << rule.threshold_shift),
        soft=layer.reset == "soft", wraps=rule.u_half, saturates=(rule.v_lowest, rule.v_highest), truncates=True,
        strict=rule.threshold_test == ">",
    )  # fmt: skip


def _exact_parts(real: DraftLayer, activation: Float64, unit: float, neuron: int) -> dict[str, Any]:
    """What each part of the neuron would be without rounding, in lsb."""
    return {
        "wraps": 0,
        "saturates": None,
        "start": (float(real.u_start[neuron]) / unit, float(real.v_start[neuron]) / unit),
        "alpha": float(real.alpha[neuron]),
        "beta": float(real.beta[neuron]),
        "activation": activation,
        "threshold": float(real.threshold[neuron]) / unit,
        "bias": float(real.bias[neuron]) / unit,
        "truncates": False,
    }
