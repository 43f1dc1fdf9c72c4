"""The real-valued IR computed in float64, without the latency of a target.

u = alpha·u + Σ W·x[t - model_delay]      v = beta·v + u + bias      spike where v > threshold, then reset
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Float64
from neuroprivacy.lowering.ir.real import RealConnection, RealLayer, RealNetwork, execution_order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatRun:
    """Spikes and states of every layer, each (samples, time steps, neurons).

    Attributes:
        spikes: uint8.
        u: current of each time step.
        v: membrane of each time step, after the reset; likewise `before`, before it.
    """

    spikes: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    u: dict[str, Float64] = field(default_factory=dict)
    v: dict[str, Float64] = field(default_factory=dict)
    before: dict[str, Float64] = field(default_factory=dict)


def run_float(network: RealNetwork, inputs: Mapping[str, NDArray[np.int64]]) -> FloatRun:
    """Run a network in float64; the integers are compared with this.

    Args:
        network: of any stage of the real-valued or quantized IR; its real weights are used.
        inputs: port name -> (samples, time steps, values), in the integers of the port.
    """
    run = FloatRun()
    samples, steps = next(iter(inputs.values())).shape[:2]
    for layers, cyclic in execution_order(network.layers):
        for layer in layers:
            start_layer(run, layer, samples, steps)
        for begin in range(steps) if cyclic else (0,):
            end = begin + 1 if cyclic else steps
            for layer in layers:
                advance_neurons(layer, layer_input(layer, inputs, run.spikes, begin, end), run, begin)
    return run


def start_layer(run: FloatRun, layer: RealLayer, samples: int, steps: int) -> None:
    """Allocate a layer's arrays."""
    shape = (samples, steps, layer.size)
    run.spikes[layer.name] = np.zeros(shape, np.uint8)
    for kept in (run.u, run.v, run.before):
        kept[layer.name] = np.zeros(shape)


def layer_input(
    layer: RealLayer,
    inputs: Mapping[str, NDArray[np.int64]],
    spikes: Mapping[str, NDArray[np.uint8]],
    begin: int,
    end: int,
) -> Float64:
    """The synaptic sums of time steps begin ... end-1, (samples, end - begin, neurons)."""
    samples = len(next(iter(inputs.values())))
    total = np.zeros((samples, end - begin, layer.size))
    for connection in layer.connections:
        source = delayed_source(connection, inputs, spikes, begin, end)
        total += connection.map.apply(source.reshape(-1, source.shape[2])).reshape(total.shape)
    return total


def delayed_source(
    connection: RealConnection,
    inputs: Mapping[str, NDArray[np.int64]],
    spikes: Mapping[str, NDArray[np.uint8]],
    begin: int,
    end: int,
) -> Float64:
    """Source values of time steps begin ... end-1 after the model delay, (samples, end - begin, source values).

    They are 0 before the first time step.
    """
    source: NDArray[np.int64] | NDArray[np.uint8] = (
        inputs[connection.source] if connection.source in inputs else spikes[connection.source]
    )
    delayed = np.zeros((len(source), end - begin, source.shape[2]))
    first, last = begin - connection.model_delay, end - connection.model_delay
    if last > 0:
        delayed[:, max(0, -first) :] = source[:, max(0, first) : last]
    return delayed


def advance_neurons(layer: RealLayer, current: Float64, run: FloatRun, begin: int) -> None:
    """The neurons of a layer over the time steps of `current`; writes into `run`."""
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
