"""The order of lowering, in one place.

graph ─ flatten, collect ─► draft ─ DRAFT_PASSES, quantize, split_populations, send_bias ─► draft
draft ─ integer_layers ─► layers ─ align_bias ─► Program
Program ─ check_capacity, check_decay, audit_ranges ─► remarks
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError, DoesNotFit, Issue, OutOfRange, raise_fatal
from neuroprivacy.graph import GraphInfo, read_info
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.lowering.discretize import RULES, Rule, derive_dt
from neuroprivacy.lowering.draft import Draft
from neuroprivacy.lowering.passes.align_bias import align_bias
from neuroprivacy.lowering.passes.audit_ranges import audit_ranges, silent_steps
from neuroprivacy.lowering.passes.average_constants import average_constants
from neuroprivacy.lowering.passes.balance_delays import balance_delays
from neuroprivacy.lowering.passes.check_capacity import check_capacity
from neuroprivacy.lowering.passes.check_decay import check_decay
from neuroprivacy.lowering.passes.collect import Timing, collect
from neuroprivacy.lowering.passes.flatten_graph import flatten_graph
from neuroprivacy.lowering.passes.integer_layers import integer_layers
from neuroprivacy.lowering.passes.normalize_thresholds import normalize_thresholds
from neuroprivacy.lowering.passes.send_bias import send_bias
from neuroprivacy.lowering.passes.split_populations import split_populations
from neuroprivacy.lowering.passes.split_signed_input import split_signed_input
from neuroprivacy.lowering.quantization.calibrate import Calibration, as_split
from neuroprivacy.lowering.quantization.quantize import Quantization, quantize
from neuroprivacy.lowering.quantization.round_weights import ROUNDINGS, Rounding, weight_grid
from neuroprivacy.program import Layer, Program
from neuroprivacy.program.encoder import Encoder
from neuroprivacy.targets.spec import TargetSpec, load_target

#: Passes over the draft, in order.
DRAFT_PASSES: tuple[Callable[[Draft, TargetSpec], Draft], ...] = (
    split_signed_input,
    normalize_thresholds,
    balance_delays,
)
DEFAULT_STEPS = 32
#: A silent readout is proved for up to so many steps, if it holds for them.
PROVED_STEPS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerOptions:
    """Choices of lowering.

    Attributes:
        dt_s: time step, seconds; None takes the graph's own, or the one that its time constants imply.
        rule: how time constants become decays: `euler` or `exponential`.
        weight_bits: 2 up to what the target has, or `ternary`; None for all that the target has.
        rounding: `nearest`, or `compensated`: later columns make up for the errors of earlier ones.
        per_channel: a weight scale for each output channel, where the target has a threshold per neuron.
        populations: most populations that a layer may become where the target has one threshold for each: channels that
            ask for a finer unit of the weights, or have another decay, become one of their own. 1 splits none.
        calibration: samples as they would be sent, port name -> int64 (samples, steps, values): scale, rounding and
            bias are chosen, layer after layer, by what they do to the sums on what the rounded layers before really
            send; None for neither data nor synthetic data.
        constants: what to do with decays that differ by neuron where the target has one per layer: refuse them
            (`exact`), or take their `mean`.
        input_max: largest event count of an input that has no encoder.
        steps: input steps to prove ranges for; None takes the graph's own.
        seed: of the encoder that is stored with the Program.
        strict: whether remarks are refusals.
    """

    dt_s: float | None = None
    rule: Rule = "euler"
    weight_bits: WeightBits | None = None
    rounding: Rounding = "compensated"
    per_channel: bool = True
    populations: int = 4
    calibration: Mapping[str, NDArray[np.int64]] | None = None
    constants: Literal["exact", "mean"] = "exact"
    input_max: int = 1
    steps: int | None = None
    seed: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        if self.dt_s is not None and not 0 < self.dt_s < math.inf:
            raise ConfigurationError(f"dt: {self.dt_s} s is not a positive time step")
        if self.steps is not None and self.steps < 1:
            raise ConfigurationError(f"steps: {self.steps} is below 1")
        for name, value in (("input max", self.input_max), ("populations", self.populations)):
            if value < 1:
                raise ConfigurationError(f"{name}: {value} is below 1")
        for name, legal in (("rule", RULES), ("rounding", ROUNDINGS), ("constants", ("exact", "mean"))):
            if getattr(self, name) not in legal:
                raise ConfigurationError(f"{name}: {getattr(self, name)!r} is none of {', '.join(legal)}")
        if self.weight_bits is not None:
            weight_grid(self.weight_bits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lowered:
    """A Program with what lowering has to say about it.

    Attributes:
        program: the integers.
        remarks: what is worth knowing about them.
        draft: the network in real units that they stand for, with its delays; what `trace` compares them with.
    """

    program: Program
    remarks: tuple[Issue, ...]
    draft: Draft


def lower(
    graph: nir.NIRGraph,
    *,
    target: str | TargetSpec,
    options: LowerOptions | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Lowered:
    """Turn a graph into integers.

    Args:
        graph: the network.
        target: the chip, by name or as a spec.
        options: choices.
        provenance: stored with the Program.

    Raises:
        UnsupportedNode: a node has no integer form on the target.
        DoesNotFit: a number has no scale that fits.
        OutOfRange: a width does not hold, or `strict` and there are remarks.
    """
    chosen = options or LowerOptions()
    spec = load_target(target) if isinstance(target, str) else target
    info, bits = read_info(graph), _weight_bits(chosen, spec)
    draft, groups, dt_s = rounded(graph, target=spec, options=chosen)
    depth = draft.depth or {}
    latencies = tuple(depth[name] for name in draft.outputs)
    latency = max(latencies)
    steps = _steps(chosen, info)
    draft = split_populations(draft, groups)
    if info.schedule != "chip":
        draft = send_bias(draft, spec, bits)
    depth = draft.depth or {}
    layers, remarks = integer_layers(draft, spec), draft.remarks
    if info.schedule != "chip":  # a network that was trained with the chip's own bias timing must keep it
        layers, unaligned = align_bias(layers, depth, spec)
        remarks = (*remarks, *unaligned)
    program = Program(
        target=spec,
        inputs=draft.inputs,
        layers=layers,
        outputs=draft.outputs,
        readout=draft.readout,
        latency=latency,
        latencies=latencies if len(set(latencies)) > 1 else (),
        max_steps=_proved_steps(draft, layers, spec, latency, steps),
        encoder=_encoder(info, info.steps or steps, chosen.seed, draft),
        provenance={**(provenance or {}), "dt_s": dt_s, "weight_bits": bits, "discretization": chosen.rule},
    )
    too_large = check_capacity(program)
    raise_fatal(DoesNotFit, too_large)
    remarks = (*remarks, *too_large, *check_decay(draft.layers, layers, spec))
    remarks = (*remarks, *audit_ranges(program, steps=steps))
    if chosen.strict:
        raise_fatal(OutOfRange, (replace(remark, fatal=True) for remark in remarks))
    return Lowered(program=program, remarks=remarks, draft=draft)


def rounded(
    graph: nir.NIRGraph, *, target: TargetSpec, options: LowerOptions
) -> tuple[Draft, dict[str, NDArray[np.int64]], float]:
    """A graph with whole weights, in one piece; by which channels its layers are to be split; and the time step.

    Raises:
        UnsupportedNode, DoesNotFit: see `lower`.
    """
    draft, dt_s = draft_of(graph, options=options)
    if options.constants == "mean":
        draft = average_constants(draft, target)
    given = _calibration(options.calibration, draft) if options.calibration else None
    for each in DRAFT_PASSES:
        draft = each(draft, target)
    depth = draft.depth or {}
    steps = _steps(options, read_info(graph))
    how = Quantization(
        bits=_weight_bits(options, target), rounding=options.rounding, per_channel=options.per_channel,
        populations=options.populations, steps=steps + 2 * max(depth[name] for name in draft.outputs),
        calibration=Calibration(draft, as_split(given, draft)) if given is not None else None,
    )  # fmt: skip
    draft, groups = quantize(draft, target, how)
    return draft, groups, dt_s


def draft_of(graph: nir.NIRGraph, *, options: LowerOptions) -> tuple[Draft, float]:
    """A graph in steps, still in real units, and the time step in seconds.

    Raises:
        UnsupportedNode: a node, or an arrangement of nodes, cannot be lowered.
        ConfigurationError: nothing says the time step.
    """
    flat = flatten_graph(graph)
    info = read_info(graph)
    stated = options.dt_s or info.dt_s
    dt_s, said = (stated, ()) if stated else derive_dt(flat)
    draft = collect(flat, info=info, timing=Timing(dt_s=dt_s, rule=options.rule, input_max=options.input_max))
    return replace(draft, remarks=(*said, *draft.remarks)), dt_s


def _steps(options: LowerOptions, info: GraphInfo) -> int:
    """Input steps that ranges are proved for."""
    return options.steps or info.steps or DEFAULT_STEPS


def _weight_bits(options: LowerOptions, target: TargetSpec) -> WeightBits:
    """The width that was asked for, if the target has it."""
    bits = options.weight_bits if options.weight_bits is not None else target.weight_bits
    if bits != "ternary" and not 2 <= bits <= target.weight_bits:
        raise ConfigurationError(
            f"weight bits: {bits} is not in 2 ... {target.weight_bits} of {target.name}, nor ternary"
        )
    return bits


def _calibration(given: Mapping[str, NDArray[np.int64]], draft: Draft) -> Mapping[str, NDArray[np.int64]]:
    """Calibration samples that fit the ports.

    Raises:
        ConfigurationError: a port has none, or they do not fit.
    """
    for port in draft.inputs:
        array = given.get(port.name)
        if array is None or array.ndim != 3 or array.shape[2] != port.size:
            shape = None if array is None else array.shape
            raise ConfigurationError(
                f"calibration: {port.name} needs (samples, steps, {port.size}) integers, given is {shape}"
            )
    return given


def _encoder(info: GraphInfo, steps: int, seed: int, draft: Draft) -> dict[str, Any]:
    """What is stored of the encoder; empty for event input."""
    if info.coding is None:
        return {}
    described = Encoder(coding=info.coding, steps=steps, seed=seed).describe()
    return {**described, "on_off_channels": draft.signed_split}


def _proved_steps(draft: Draft, layers: tuple[Layer, ...], target: TargetSpec, latency: int, steps: int) -> int | None:
    """For how many input steps a silent readout is proved; None where the target needs no proof."""
    if target.silent_readout or draft.readout != "membrane":
        return None
    reach = {port.name: (port.low, port.high) for port in draft.inputs}
    silent = next(layer for layer in layers if layer.name == draft.outputs[0])
    proved = silent_steps(silent, reach, latency=latency, target=target, wanted=max(PROVED_STEPS, steps))
    if proved < steps:
        raise OutOfRange.of(
            [
                Issue(
                    where=silent.name,
                    what="a readout that must not fire is proved for",
                    value=proved,
                    hint=f"steps, {steps} are needed; use fewer steps or a spike-count readout",
                )
            ]
        )
    return proved
