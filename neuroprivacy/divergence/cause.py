"""The causes of a divergence between a real-valued and an integer neuron, by ablation of one rounding at a time.

Up to the first divergence both neurons received the same spikes. The integer neuron is computed again by itself, on the
same input and with the same resets, each time with one of its parts replaced by the exact one. A part whose replacement
alone changes the spike is a cause. Wraps, saturation, decay and threshold test are those of `kernels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.divergence.runs import Run
from neuroprivacy.kernels.formats import Bools, Float64, Int64, saturate, wrap_once
from neuroprivacy.kernels.neuron import DECAY_ONE, ThresholdTest, crosses_threshold, decay_by_factor
from neuroprivacy.lowering import Lowered
from neuroprivacy.lowering.float_run import delayed_source
from neuroprivacy.lowering.ir import RealConnection, RealLayer
from neuroprivacy.program import Layer, Program
from neuroprivacy.runtime.reference import apply_map

#: Part -> its name in reports, in the order of the ablation.
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
    """One neuron, each of its parts rounded or exact, in least significant bits of its membrane.

    Attributes:
        activation: synaptic input of each time step, (time steps,).
        resets: whether it was reset in each time step, (time steps,).
        start: current and membrane before the first time step.
        alpha: decay factor of the current; likewise `beta` of the membrane.
        bias: of each time step.
        threshold: θ.
        soft: whether a reset subtracts the threshold.
        wraps: half the range of the current, which wraps; 0 for no wrap.
        saturates: lowest and highest membrane; None for no saturation.
        truncates: whether decayed states lose their fraction.
        test: threshold test.
    """

    activation: Float64
    resets: Bools
    start: tuple[float, float]
    alpha: float
    beta: float
    bias: float
    threshold: float
    soft: bool
    wraps: int
    saturates: tuple[int, int] | None
    truncates: bool
    test: ThresholdTest

    def membrane(self) -> Float64:
        """The membrane before the threshold test of the last time step, ()."""
        u, v = (np.asarray(state, np.float64) for state in self.start)
        before = v
        for activation, reset in zip(self.activation, self.resets, strict=True):
            u = decay_by_factor(u, factor=self.alpha, truncates=self.truncates) + activation
            if self.wraps:
                u = wrap_once(u, half=self.wraps)
            before = decay_by_factor(v, factor=self.beta, truncates=self.truncates) + u + self.bias
            if self.saturates is not None:
                before = saturate(before, lowest=self.saturates[0], highest=self.saturates[1])
            v = before if not reset else before - self.threshold if self.soft else np.zeros(())
        return before

    def fires(self) -> bool:
        """Whether the neuron spikes in the last time step."""
        return bool(crosses_threshold(self.membrane(), np.asarray(self.threshold, np.float64), self.test))


def find_causes(
    lowered: Lowered, inputs: Mapping[str, Int64], real: Run, integer: Run, *, sample: int, step: int, layer: str,
    neuron: int,
) -> tuple[str, ...]:  # fmt: skip
    """Causes of the first divergence between a real-valued and an integer run, in the order of `CAUSES`."""
    program = lowered.program
    integers = program.layer(layer)
    reals = lowered.real_network.layer(layer)
    shift = 1 << program.target.activation_shift
    scale = np.array(integers.scale)[neuron if len(integers.scale) > 1 else 0] / shift
    scale = scale / (reals.state_scale[neuron] if reals.state_scale.size > 1 else reals.state_scale[0])
    spikes = {name: array[sample : sample + 1] for name, array in integer.spikes.items()}
    given = {name: array[sample : sample + 1] for name, array in inputs.items()}
    counted = _activation(integers, reals.connections, given, spikes, step, neuron) * shift
    exact = _exact_activation(reals.connections, given, spikes, step, neuron) / scale
    resets = np.asarray(integer.spikes[layer][sample, : step + 1, neuron], bool)
    resets[step] = False
    start = _start(lowered, integer, layer, sample, neuron)
    rounded = _integer_neuron(program, integers, counted, resets, start, neuron)
    if rounded.fires() != bool(integer.spikes[layer][sample, step, neuron]):
        return (ORDER_OR_DELAY,)
    wanted = bool(real.spikes[layer][sample, step, neuron])
    parts = _exact_parts(reals, exact, scale, neuron)
    alone = [part for part in CAUSES if replace(rounded, **{part: parts[part]}).fires() == wanted]
    if alone:
        return tuple(CAUSES[part] for part in alone)
    together: dict[str, Any] = {}
    for part in CAUSES:
        together[part] = parts[part]
        if replace(rounded, **together).fires() == wanted:
            break
    for part in CAUSES:  # a part without effect is removed
        fewer = {name: exact for name, exact in together.items() if name != part}
        if replace(rounded, **fewer).fires() == wanted:
            together = fewer
    return (f"{TIE}: {', '.join(CAUSES[part] for part in together)}",)


def _activation(
    layer: Layer,
    connections: tuple[RealConnection, ...],
    inputs: Mapping[str, Int64],
    spikes: Mapping[str, NDArray[np.uint8]],
    step: int,
    neuron: int,
) -> Float64:
    """The integer synaptic input of one neuron in time steps 0 ... step."""
    total = np.zeros(step + 1)
    for edge, real in zip(layer.edges, connections, strict=True):
        source = delayed_source(real, inputs, spikes, 0, step + 1)[0].astype(np.int64)
        total += apply_map(edge.map, source)[:, neuron]
    return total


def _exact_activation(
    connections: tuple[RealConnection, ...],
    inputs: Mapping[str, Int64],
    spikes: Mapping[str, NDArray[np.uint8]],
    step: int,
    neuron: int,
) -> Float64:
    """The activation (weighted input) with real weights in place of the integer ones."""
    total = np.zeros(step + 1)
    for connection in connections:
        total += connection.map.apply(delayed_source(connection, inputs, spikes, 0, step + 1)[0])[:, neuron]
    return total


def _start(lowered: Lowered, run: Run, layer: str, sample: int, neuron: int) -> tuple[float, float]:
    """Current and membrane of the integer neuron before its first input can arrive."""
    latency = lowered.real_network.latencies[layer]
    integers, result = lowered.program.layer(layer), run.result
    if latency == 0 or result is None or result.states_u is None or result.states_v is None:
        return float(integers.u_init[neuron]), float(integers.v_init[neuron])
    before = sample, latency - 1, neuron
    return float(result.states_u[layer][before]), float(result.states_v[layer][before])


def _integer_neuron(
    program: Program, layer: Layer, activation: Float64, resets: Bools, start: tuple[float, float],
    neuron: int,
) -> Neuron:  # fmt: skip
    """The neuron with all parts rounded, as the chip computes it."""
    target = program.target
    rule = target.rule

    def value(array: Int64) -> int:
        """One neuron's value of a constant that may be shared by the layer."""
        return int(array[neuron if array.size > 1 else 0])

    alpha = (DECAY_ONE - value(layer.du) - rule.du_offset) / DECAY_ONE if rule.keeps_current else 0.0
    return Neuron(
        activation=activation, resets=resets, start=start, alpha=alpha, beta=1 - value(layer.dv) / DECAY_ONE,
        bias=float(layer.bias[neuron]), threshold=float(value(layer.threshold) << rule.threshold_shift),
        soft=layer.reset == "soft", wraps=rule.u_half, saturates=(rule.v_lowest, rule.v_highest), truncates=True,
        test=rule.threshold_test,
    )  # fmt: skip


def _exact_parts(real: RealLayer, activation: Float64, scale: float, neuron: int) -> dict[str, Any]:
    """Each part of the neuron without rounding, in least significant bits."""
    return {
        "wraps": 0,
        "saturates": None,
        "start": (float(real.u_start[neuron]) / scale, float(real.v_start[neuron]) / scale),
        "alpha": float(real.alpha[neuron]),
        "beta": float(real.beta[neuron]),
        "activation": activation,
        "threshold": float(real.threshold[neuron]) / scale,
        "bias": float(real.bias[neuron]) / scale,
        "truncates": False,
    }
