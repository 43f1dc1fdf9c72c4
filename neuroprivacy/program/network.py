"""Program: layers of integer neurons, joined by edges. A Program that exists is legal on its target.

Structure (names, shapes, order, delays) and ranges (every number against its declared width) are checked when it is
made, so that backends need no checks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from neuroprivacy.core.errors import ConfigurationError, Issue, OutOfRange, raise_fatal
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.program.description import content_hash
from neuroprivacy.program.maps import LinearMap, Shape, frozen
from neuroprivacy.targets.spec import TargetSpec

Readout = Literal["spike_count", "membrane"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A named input of a Program.

    Attributes:
        name: unique among ports and layers.
        shape: shape of one step of one sample.
        low: smallest value, in integers.
        high: largest value; 1 for spikes, more for graded input.
        scale: real value of an integer of 1.
    """

    name: str
    shape: Shape
    low: int = 0
    high: int = 1
    scale: float = 1.0

    @property
    def size(self) -> int:
        """Number of values in one time step."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edge:
    """A connection into a layer: source (port or layer), linear map, and delay in time steps, the target's included."""

    source: str
    map: LinearMap
    delay: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One population of neurons with its incoming edges.

    Attributes:
        name: unique among ports and layers.
        shape: (neurons,) or (channels, height, width); neurons are numbered in C order.
        edges: incoming connections; their sums of one time step are added.
        threshold: mantissa, in integer weight steps, (1,) or (neurons,).
        du: current decay 0 ... 4095, (1,) or (neurons,); ignored where the target keeps no current.
        dv: membrane decay 0 ... 4095, (1,) or (neurons,).
        bias_mantissa: (neurons,).
        bias_exponent: the effective bias is `bias_mantissa << bias_exponent`, in least significant bits of v.
        v_init: membrane before the first time step, least significant bits, (neurons,).
        u_init: current before the first time step, likewise; 0 if not given.
        reset: "hard" to 0 or "soft" by the threshold.
        fires: false for a readout that only integrates.
        scale: weight scale: real value of a synaptic sum of 1, (1,) or (neurons,).
    """

    name: str
    shape: Shape
    edges: tuple[Edge, ...]
    threshold: Int64
    du: Int64
    dv: Int64
    bias_mantissa: Int64
    bias_exponent: int
    v_init: Int64
    reset: Reset
    fires: bool = True
    scale: tuple[float, ...] = (1.0,)
    u_init: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not np.size(self.u_init):
            object.__setattr__(self, "u_init", np.zeros(np.shape(self.v_init), np.int64))
        for name in ("threshold", "du", "dv", "bias_mantissa", "v_init", "u_init"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    def activation_bound(self, largest: Mapping[str, int]) -> int:
        """An upper bound of |a|, given the largest |x| of each port; sources without one send spikes."""
        return sum(edge.map.bound() * largest.get(edge.source, 1) for edge in self.edges)

    @property
    def bias(self) -> Int64:
        """Effective bias in least significant bits of v, (neurons,)."""
        return self.bias_mantissa << self.bias_exponent


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """An integer network on a target.

    Attributes:
        target: the chip whose arithmetic the integers obey.
        inputs: named input ports.
        layers: in topological order of the edges without delay.
        outputs: names of the layers whose spikes are results.
        readout: `spike_count` or `membrane`, of the first output.
        latency: time steps from the input to the deepest output; so many are computed after the last input.
        latencies: time steps from the input to each output, which is read so much later; empty if all have `latency`.
        max_steps: input time steps for which the range audit holds; None if it holds for any number.
        encoder: of samples (name, parameters, preprocessing, seed); empty for event input.
        provenance: versions, commands, hashes, the choices of each pass.

    Raises:
        ConfigurationError: the structure is inconsistent.
        OutOfRange: a number does not fit its declared width.
    """

    target: TargetSpec
    inputs: tuple[Port, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    readout: Readout
    latency: int
    latencies: tuple[int, ...] = ()
    max_steps: int | None = None
    encoder: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        raise_fatal(ConfigurationError, _types(self))
        raise_fatal(ConfigurationError, _structure(self))
        raise_fatal(OutOfRange, check_program(self))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Port or layer name -> number of values of one step."""
        nodes: tuple[Port | Layer, ...] = (*self.inputs, *self.layers)
        return {node.name: node.size for node in nodes}

    @cached_property
    def port_names(self) -> tuple[str, ...]:
        """Names of the inputs, in their order."""
        return tuple(port.name for port in self.inputs)

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, in their order."""
        return tuple(layer.name for layer in self.layers)

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            ConfigurationError: there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ConfigurationError(f"program: no layer is called {name!r}")

    def window(self, output: str, steps: int) -> slice:
        """Which of the computed steps are the result of an output, for so many input steps."""
        late = self.latencies[self.outputs.index(output)] if self.latencies else self.latency
        return slice(late, late + steps)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over everything that a run depends on or a report shows; equal Programs have equal hashes."""
        return content_hash(self)


def _types(program: Program) -> list[Issue]:
    """Values that do not have their annotated type: a file may hold anything."""
    numbers: list[tuple[str, str, object]] = [("program", "latency", program.latency)]
    numbers += [("program", "latency of an output", late) for late in program.latencies]
    choices: list[tuple[str, str, object, tuple[object, ...]]] = [
        ("program", "readout", program.readout, ("spike_count", "membrane"))
    ]
    if program.max_steps is not None:
        numbers.append(("program", "max_steps", program.max_steps))
    for port in program.inputs:
        numbers += [(port.name, "low", port.low), (port.name, "high", port.high)]
    for layer in program.layers:
        numbers.append((layer.name, "bias exponent", layer.bias_exponent))
        numbers += [(f"{layer.name} from {edge.source}", "delay", edge.delay) for edge in layer.edges]
        choices.append((layer.name, "reset", layer.reset, ("hard", "soft")))
        choices.append((layer.name, "fires", layer.fires, (True, False)))
    nodes: tuple[Port | Layer, ...] = (*program.inputs, *program.layers)
    found = [
        Issue(where="program", what="a name is no text", value=repr(node.name))
        for node in nodes
        if not isinstance(node.name, str)
    ]
    found += [
        Issue(where=str(node.name), what=f"shape {node.shape} is not made of positive integers")
        for node in nodes
        if not node.shape or any(type(size) is not int or size < 1 for size in node.shape)
    ]
    found += [
        Issue(where=str(where), what=f"{what} is no integer", value=repr(value))
        for where, what, value in numbers
        if type(value) is not int
    ]
    found += [
        Issue(where=str(where), what=f"{what} is none of {', '.join(map(str, legal))}", value=repr(value))
        for where, what, value, legal in choices
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in legal)
    ]
    return found


def _structure(program: Program) -> list[Issue]:
    """Faults of names, sources, shapes, order and delays."""
    found: list[Issue] = []
    nodes: tuple[Port | Layer, ...] = (*program.inputs, *program.layers)
    names = [node.name for node in nodes]
    for name in sorted({name for name in names if names.count(name) > 1}):
        found.append(Issue(where=name, what="the name stands for more than one port or layer"))
    if not program.inputs or not program.layers or not program.outputs:
        found.append(Issue(where="program", what="has no input, no layer or no output"))
    layer_names = {layer.name for layer in program.layers}
    for name in program.outputs:
        if name not in layer_names:
            found.append(Issue(where=name, what="is named as an output and is no layer"))
    if program.latency < 0:
        found.append(Issue(where="program", what="latency is negative", value=program.latency))
    if program.latencies and (
        len(program.latencies) != len(program.outputs)
        or min(program.latencies) < 0
        or max(program.latencies) != program.latency
        or (program.readout == "membrane" and program.latencies[0] != program.latency)
    ):
        what = (
            f"latencies {program.latencies} are not one for each output, the first and the largest of them the latency"
        )
        found.append(Issue(where="program", what=what, value=program.latency))
    sizes = program.sizes
    ready = {port.name for port in program.inputs}
    for layer in program.layers:
        for edge in layer.edges:
            where = f"{layer.name} from {edge.source}"
            if edge.source not in sizes:
                found.append(Issue(where=where, what="the source does not exist"))
                continue
            if edge.map.in_size != sizes[edge.source] or math.prod(edge.map.out_shape) != layer.size:
                found.append(
                    Issue(
                        where=where,
                        what=f"a map of {edge.map.in_size} to {math.prod(edge.map.out_shape)} cannot join "
                        f"{sizes[edge.source]} to {layer.size} neurons",
                    )
                )
            if edge.delay == 0 and edge.source not in ready:
                found.append(Issue(where=where, what="an edge without delay comes from a later layer or itself"))
        if not layer.edges:
            found.append(Issue(where=layer.name, what="nothing feeds this layer"))
        for name in ("threshold", "du", "dv"):
            if getattr(layer, name).shape not in ((1,), (layer.size,)):
                found.append(Issue(where=layer.name, what=f"{name} is neither one value nor one per neuron"))
        for name in ("bias_mantissa", "v_init", "u_init"):
            if getattr(layer, name).shape != (layer.size,):
                found.append(Issue(where=layer.name, what=f"{name} is not one value per neuron"))
        if len(layer.scale) not in (1, layer.size) or not all(math.isfinite(s) and s > 0 for s in layer.scale):
            found.append(Issue(where=layer.name, what="scale is not one positive number (or one per neuron)"))
        ready.add(layer.name)
    firing = {layer.name for layer in program.layers if layer.fires}
    if program.readout == "membrane" and program.outputs and program.outputs[0] in firing:
        found.append(Issue(where=program.outputs[0], what="a membrane readout must not fire"))
    return found


def check_program(program: Program) -> tuple[Issue, ...]:
    """Every number of a Program that its target's declared widths cannot hold."""
    target = program.target
    found: list[Issue] = []

    def within(where: str, what: str, values: Int64, low: int, high: int, hint: str = "") -> None:
        """Add an issue where any value leaves [low, high]."""
        if values.size and (int(values.min()) < low or int(values.max()) > high):
            worst = int(values.max()) if int(values.max()) > high else int(values.min())
            found.append(Issue(where=where, what=what, value=worst, limit=f"{low} ... {high}", hint=hint))

    decay_max = (1 << target.decay_bits) - 1
    mantissa = 1 << (target.bias_mantissa_bits - 1)
    v_low, v_high = target.membrane_range
    u_high = (1 << (target.current_bits - 1)) - 1 if target.current_bits else 0
    for port in program.inputs:
        low, high = target.message_range
        within(port.name, "an input value", np.array([port.low, port.high]), low, high)
        if port.low > port.high:
            found.append(Issue(where=port.name, what="low is above high", value=port.low))
    for layer in program.layers:
        for edge in layer.edges:
            where = f"{layer.name} from {edge.source}"
            within(where, "weight", edge.map.weight, *target.weight_range)
            within(where, "delay", np.array([edge.delay]), target.edge_delay_min, target.edge_delay_max)
        within(layer.name, "threshold", layer.threshold, 0, target.threshold_max, "choose a larger weight scale")
        within(layer.name, "current decay du", layer.du, 0, decay_max)
        within(layer.name, "membrane decay dv", layer.dv, 0, decay_max)
        within(layer.name, "bias mantissa", layer.bias_mantissa, -mantissa, mantissa - 1)
        within(layer.name, "bias exponent", np.array([layer.bias_exponent]), 0, target.bias_exponent_max)
        within(layer.name, "initial membrane", layer.v_init, v_low, v_high)
        within(layer.name, "initial current", layer.u_init, -u_high, u_high)
        if layer.reset not in target.resets and layer.fires:
            found.append(
                Issue(
                    where=layer.name,
                    what=f"the {layer.reset} reset does not exist on {target.name}",
                    hint="retrain with --reset hard, or choose --target loihi2-soft"
                    if layer.reset == "soft"
                    else "retrain with --reset subtract, or choose --target loihi2",
                )
            )
        if target.threshold_per == "layer":
            for name in ("threshold", "du", "dv"):
                if getattr(layer, name).size > 1:
                    found.append(
                        Issue(where=layer.name, what=f"{name} differs by neuron; {target.name} has one per layer")
                    )
    return tuple(found)
