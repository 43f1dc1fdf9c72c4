"""A draft computed in floats, without a chip's latency: the network that the integers stand for.

u = alpha·u + Σ W·x[t - wait]      v = beta·v + u + bias      spike where v > threshold, then reset
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Float64
from neuroprivacy.lowering.draft import Draft, DraftEdge, DraftLayer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatRun:
    """What a network did, in floats; arrays (samples, steps, neurons) by layer.

    Attributes:
        spikes: uint8.
        u: current after each step.
        v: membrane after each step, after the reset; likewise `before`, before it.
    """

    spikes: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    u: dict[str, Float64] = field(default_factory=dict)
    v: dict[str, Float64] = field(default_factory=dict)
    before: dict[str, Float64] = field(default_factory=dict)


def run_float(draft: Draft, inputs: Mapping[str, NDArray[np.int64]]) -> FloatRun:
    """Run a draft.

    Args:
        draft: of a network, before or after its passes.
        inputs: port name -> (samples, steps, values), in the integers of the port.
    """
    run = FloatRun()
    samples, steps = next(iter(inputs.values())).shape[:2]
    for layers, cyclic in draft.groups():
        for layer in layers:
            start_layer(run, layer, samples, steps)
        for begin in range(steps) if cyclic else (0,):
            end = begin + 1 if cyclic else steps
            for layer in layers:
                advance_neurons(layer, layer_input(layer, inputs, run.spikes, begin, end), run, begin)
    return run


def start_layer(run: FloatRun, layer: DraftLayer, samples: int, steps: int) -> None:
    """Room for what a layer does."""
    shape = (samples, steps, layer.size)
    run.spikes[layer.name] = np.zeros(shape, np.uint8)
    for kept in (run.u, run.v, run.before):
        kept[layer.name] = np.zeros(shape)


def layer_input(
    layer: DraftLayer,
    inputs: Mapping[str, NDArray[np.int64]],
    spikes: Mapping[str, NDArray[np.uint8]],
    begin: int,
    end: int,
) -> Float64:
    """The synaptic sum of steps begin ... end-1, (samples, end - begin, neurons)."""
    samples = len(next(iter(inputs.values())))
    total = np.zeros((samples, end - begin, layer.size))
    for edge in layer.edges:
        seen = delayed_source(edge, inputs, spikes, begin, end)
        total += edge.apply(seen.reshape(-1, seen.shape[2])).reshape(total.shape)
    return total


def delayed_source(
    edge: DraftEdge,
    inputs: Mapping[str, NDArray[np.int64]],
    spikes: Mapping[str, NDArray[np.uint8]],
    begin: int,
    end: int,
) -> Float64:
    """What an edge reads in steps begin ... end-1, (samples, end - begin, source values); 0 before step 1."""
    source: NDArray[np.int64] | NDArray[np.uint8] = (
        inputs[edge.source] if edge.source in inputs else spikes[edge.source]
    )
    seen = np.zeros((len(source), end - begin, source.shape[2]))
    first, last = begin - edge.wait, end - edge.wait
    if last > 0:
        seen[:, max(0, -first) :] = source[:, max(0, first) : last]
    return seen


def advance_neurons(layer: DraftLayer, current: Float64, run: FloatRun, begin: int) -> None:
    """The neurons of a layer over the steps of `current`; writes into `run`."""
    samples = len(current)
    u = run.u[layer.name][:, begin - 1] if begin else np.tile(layer.u_start, (samples, 1))
    v = run.v[layer.name][:, begin - 1] if begin else np.tile(layer.v_start, (samples, 1))
    memory = bool(np.any(layer.alpha))
    for i in range(current.shape[1]):
        t = begin + i
        u = layer.alpha * u + current[:, i] if memory else current[:, i]
        before = layer.beta * v + u + layer.bias
        if layer.fires:
            fired = before > layer.threshold
            v = np.where(fired, before - layer.threshold if layer.reset == "soft" else 0.0, before)
            run.spikes[layer.name][:, t] = fired
        else:
            v = before
        run.u[layer.name][:, t], run.v[layer.name][:, t], run.before[layer.name][:, t] = u, v, before
