"""Lowering as one ordered list of passes, and the functions that run it, or its first part.

Every pass is `run(ir, context) -> ir`; the types of the IR stand in `lowering.ir`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir

from neuroprivacy.core.errors import OutOfRange, raise_fatal
from neuroprivacy.lowering.ir import ContinuousNetwork, Lowered, QuantizedNetwork, RealNetwork, ScheduledNetwork
from neuroprivacy.lowering.options import FrontEndContext, LoweringContext, LowerOptions
from neuroprivacy.lowering.passes.assemble_program import assemble_program
from neuroprivacy.lowering.passes.audit_ranges import audit_ranges
from neuroprivacy.lowering.passes.average_decays import average_decays
from neuroprivacy.lowering.passes.balance_delays import balance_delays
from neuroprivacy.lowering.passes.bias_neurons import bias_neurons
from neuroprivacy.lowering.passes.check_calibration import check_calibration
from neuroprivacy.lowering.passes.check_capacity import check_capacity
from neuroprivacy.lowering.passes.check_decay import check_decay
from neuroprivacy.lowering.passes.choose_time_step import choose_time_step
from neuroprivacy.lowering.passes.compensate_bias_latency import compensate_bias_latency
from neuroprivacy.lowering.passes.discretize_graph import discretize_graph
from neuroprivacy.lowering.passes.flatten_graph import flatten_graph
from neuroprivacy.lowering.passes.integer_layers import integer_layers
from neuroprivacy.lowering.passes.normalize_thresholds import normalize_thresholds
from neuroprivacy.lowering.passes.prove_silent_readout import prove_silent_readout
from neuroprivacy.lowering.passes.split_populations import split_populations
from neuroprivacy.lowering.passes.split_signed_input import split_signed_input
from neuroprivacy.lowering.quantization.quantize import quantize
from neuroprivacy.targets.spec import TargetSpec, load_target


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of the lowering pipeline.

    Attributes:
        name: of its function.
        run: (ir, context) -> ir of this stage or the next.
        requires: passes that have to stand before it.
        when: whether it runs; None for always.
    """

    name: str
    run: Callable[[Any, Any], Any]
    requires: tuple[str, ...] = ()
    when: Callable[[FrontEndContext], bool] | None = None


def _averages(context: FrontEndContext) -> bool:
    return context.options.constants == "mean"


def _calibrates(context: FrontEndContext) -> bool:
    return bool(context.options.calibration)


def _compensates(context: FrontEndContext) -> bool:
    return context.ideal_schedule


#: All passes of lowering in their order. `requires` names the passes that have to stand before one; a test checks it,
#: and that each pass takes the IR type that the one before gives.
PASSES: tuple[Pass, ...] = (
    Pass("flatten_graph", flatten_graph),
    Pass("choose_time_step", choose_time_step, requires=("flatten_graph",)),
    Pass("discretize_graph", discretize_graph, requires=("choose_time_step",)),
    Pass("average_decays", average_decays, requires=("discretize_graph",), when=_averages),
    Pass("check_calibration", check_calibration, requires=("discretize_graph",), when=_calibrates),
    # Samples are checked against the ports of the graph, before these are doubled.
    Pass("split_signed_input", split_signed_input, requires=("discretize_graph", "check_calibration")),
    Pass("normalize_thresholds", normalize_thresholds, requires=("discretize_graph",)),
    Pass("balance_delays", balance_delays, requires=("discretize_graph",)),
    Pass(
        "quantize",
        quantize,
        requires=("average_decays", "split_signed_input", "normalize_thresholds", "balance_delays"),
    ),
    Pass("split_populations", split_populations, requires=("quantize",)),
    # One weight scale for each layer: after the split.
    Pass("bias_neurons", bias_neurons, requires=("split_populations",), when=_compensates),
    Pass("integer_layers", integer_layers, requires=("split_populations", "bias_neurons")),
    Pass("compensate_bias_latency", compensate_bias_latency, requires=("integer_layers",), when=_compensates),
    # The proof starts from the initial states.
    Pass("prove_silent_readout", prove_silent_readout, requires=("compensate_bias_latency",)),
    Pass("assemble_program", assemble_program, requires=("prove_silent_readout",)),
    Pass("check_capacity", check_capacity, requires=("assemble_program",)),
    Pass("check_decay", check_decay, requires=("assemble_program",)),
    Pass("audit_ranges", audit_ranges, requires=("assemble_program", "check_capacity")),
)


def lower(
    graph: nir.NIRGraph,
    *,
    target: str | TargetSpec,
    options: LowerOptions | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Lowered:
    """Lower a NIR graph to an integer Program for a target.

    Args:
        graph: the network.
        target: the chip, by name or as a spec.
        options: choices.
        provenance: stored with the Program.

    Raises:
        UnsupportedNode: a node has no integer form on the target.
        DoesNotFit: a number has no scale that fits.
        OutOfRange: a width does not hold, or `strict` and there are diagnostics.
    """
    spec = load_target(target) if isinstance(target, str) else target
    context = LoweringContext.on(spec, graph, options or LowerOptions(), provenance)
    lowered: Lowered = _run(graph, context, PASSES[-1].name)
    if context.options.strict:
        raise_fatal(OutOfRange, (replace(issue, fatal=True) for issue in lowered.diagnostics))
    return lowered


def continuous_network(graph: nir.NIRGraph, *, options: LowerOptions) -> ContinuousNetwork:
    """The graph without nested graphs, with its time step.

    Raises:
        UnsupportedNode, ConfigurationError: see `real_network`.
    """
    found: ContinuousNetwork = _run(graph, FrontEndContext.of(graph, options), "choose_time_step")
    return found


def real_network(graph: nir.NIRGraph, *, options: LowerOptions) -> RealNetwork:
    """The real-valued IR of a graph in time steps; it depends on no target.

    Raises:
        UnsupportedNode: a node, or an arrangement of nodes, cannot be lowered.
        ConfigurationError: the time step is not known.
    """
    found: RealNetwork = _run(graph, FrontEndContext.of(graph, options), "discretize_graph")
    return found


def scheduled_network(graph: nir.NIRGraph, *, target: TargetSpec, options: LowerOptions) -> ScheduledNetwork:
    """The real-valued IR of a graph with the target's delays, before quantization.

    Raises:
        UnsupportedNode, DoesNotFit: see `lower`.
    """
    found: ScheduledNetwork = _run(graph, LoweringContext.on(target, graph, options), "balance_delays")
    return found


def quantized_network(graph: nir.NIRGraph, *, target: TargetSpec, options: LowerOptions) -> QuantizedNetwork:
    """The quantized IR of a graph, its layers not yet split into populations.

    Raises:
        UnsupportedNode, DoesNotFit: see `lower`.
    """
    found: QuantizedNetwork = _run(graph, LoweringContext.on(target, graph, options), "quantize")
    return found


def _run(ir: Any, context: FrontEndContext, last: str) -> Any:
    """The passes up to the one of that name."""
    for each in PASSES:
        if each.when is None or each.when(context):
            ir = each.run(ir, context)
        if each.name == last:
            break
    return ir
