"""The order of lowering, in one place.

graph ─ collect ─► draft ─ DRAFT_PASSES ─► draft ─ quantize ─► layers ─ align_bias ─► Program
Program ─ check_capacity, audit_ranges ─► remarks
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir

from neuroprivacy.encoding import Encoder
from neuroprivacy.errors import ConfigurationError, DoesNotFit, Issue, OutOfRange, raise_fatal
from neuroprivacy.graph import GraphInfo, read_info
from neuroprivacy.lower.align_bias import align_bias
from neuroprivacy.lower.audit_ranges import audit_ranges, silent_steps
from neuroprivacy.lower.balance_delays import balance_delays
from neuroprivacy.lower.check_capacity import check_capacity
from neuroprivacy.lower.check_decay import check_decay
from neuroprivacy.lower.collect import collect
from neuroprivacy.lower.discretize import derive_dt
from neuroprivacy.lower.draft import Draft
from neuroprivacy.lower.quantize import quantize_layers
from neuroprivacy.lower.split_signed_input import split_signed_input
from neuroprivacy.program import Layer, Program
from neuroprivacy.target import TargetSpec, load_target

#: Passes over the draft, in order.
DRAFT_PASSES: tuple[Callable[[Draft, TargetSpec], Draft], ...] = (split_signed_input, balance_delays)
DEFAULT_STEPS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerOptions:
    """Choices of lowering.

    Attributes:
        dt_s: time step, seconds; None takes the graph's own, or the one that its time constants imply.
        weight_bits: None for all that the target has.
        steps: input steps to prove ranges for; None takes the graph's own.
        seed: of the encoder that is stored with the Program.
        strict: whether remarks are refusals.
    """

    dt_s: float | None = None
    weight_bits: int | None = None
    steps: int | None = None
    seed: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        if self.dt_s is not None and not 0 < self.dt_s < math.inf:
            raise ConfigurationError(f"dt: {self.dt_s} s is not a positive time step")
        if self.steps is not None and self.steps < 1:
            raise ConfigurationError(f"steps: {self.steps} is below 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lowered:
    """A Program with what lowering has to say about it."""

    program: Program
    remarks: tuple[Issue, ...]


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
    info = read_info(graph)
    dt_s = chosen.dt_s or info.dt_s or derive_dt(graph)
    steps = chosen.steps or info.steps or DEFAULT_STEPS
    bits = chosen.weight_bits or spec.weight_bits
    if not 2 <= bits <= spec.weight_bits:
        raise ConfigurationError(f"weight bits: {bits} is not in 2 ... {spec.weight_bits} of {spec.name}")
    draft = collect(graph, info=info, dt_s=dt_s)
    for each in DRAFT_PASSES:
        draft = each(draft, spec)
    depth = draft.depth or {}
    latency = max(depth[name] for name in draft.outputs)
    layers = quantize_layers(draft, spec, weight_bits=bits, steps=steps + 2 * latency)
    # A network that was trained with the chip's own bias timing must keep it.
    layers, remarks = (layers, ()) if info.schedule == "chip" else align_bias(layers, depth, spec)
    program = Program(
        target=spec,
        inputs=draft.inputs,
        layers=layers,
        outputs=draft.outputs,
        readout=draft.readout,
        latency=latency,
        max_steps=_proved_steps(draft, layers, spec, latency, steps),
        encoder=_encoder(info, info.steps or steps, chosen.seed, draft),
        provenance={**(provenance or {}), "dt_s": dt_s, "weight_bits": bits},
    )
    too_large = check_capacity(program)
    raise_fatal(DoesNotFit, too_large)
    remarks = (*remarks, *too_large, *check_decay(draft.layers, layers), *audit_ranges(program))
    if chosen.strict:
        raise_fatal(OutOfRange, (replace(remark, fatal=True) for remark in remarks))
    return Lowered(program=program, remarks=remarks)


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
    proved = silent_steps(silent, reach, latency=latency, target=target)
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
