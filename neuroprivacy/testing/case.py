"""One conformance case: a Program, its input, and the expected integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.program import DenseMap, Edge, Layer, LinearMap, Port, Program
from neuroprivacy.program.network import Readout
from neuroprivacy.targets.spec import load_target

Values = Sequence[int] | NDArray[Any] | int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """A small hand-made Program that tests one rule.

    Attributes:
        name: in snake_case, unique.
        rule: the rule of docs/reference/SEMANTICS.md that it tests.
        program: the network.
        spikes: int64 (samples, T, *port shape).
        expect_spikes: layer name -> list over steps of the spikes of sample 0, per neuron; steps include the latency.
        expect_v: layer name -> likewise the membrane after each step.
        expect_u: layer name -> likewise the current.
    """

    name: str
    rule: str
    program: Program
    spikes: Int64
    expect_spikes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    expect_v: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    expect_u: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def _vector(values: Values, size: int) -> Int64:
    array = np.asarray(values, np.int64).reshape(-1)
    return np.full(size, array[0]) if array.size == 1 else array


def layer(
    name: str,
    edges: Sequence[Edge],
    *,
    threshold: Values,
    du: Values = 4095,
    dv: Values = 0,
    bias: Values = 0,
    bias_exponent: int = 0,
    v_init: Values = 0,
    u_init: Values = 0,
    reset: Reset = "hard",
    fires: bool = True,
) -> Layer:
    """Make a layer; what is not given is that of an integrate-and-fire neuron without synaptic memory."""
    shape = edges[0].map.out_shape
    size = int(np.prod(shape))
    return Layer(
        name=name,
        shape=shape,
        edges=tuple(edges),
        threshold=np.atleast_1d(threshold),
        du=np.atleast_1d(du),
        dv=np.atleast_1d(dv),
        bias_mantissa=_vector(bias, size),
        bias_exponent=bias_exponent,
        v_init=_vector(v_init, size),
        u_init=_vector(u_init, size),
        reset=reset,
        fires=fires,
    )


def edge(source: str, weight: Any | LinearMap, *, delay: int = 1) -> Edge:
    """An edge; a nested list is a dense weight (outputs, inputs)."""
    linear = DenseMap(weight=np.asarray(weight)) if isinstance(weight, list | np.ndarray) else weight
    return Edge(source=source, map=linear, delay=delay)


def network(
    layers: Sequence[Layer],
    *,
    target: str = "loihi2",
    inputs: Sequence[Port] | None = None,
    outputs: Sequence[str] | None = None,
    readout: Readout = "spike_count",
    latency: int | None = None,
    latencies: tuple[int, ...] = (),
) -> Program:
    """A Program around `layers`; by default one spiking input as wide as the first map, the last layer as output."""
    first = layers[0].edges[0].map
    spec = load_target(target)
    return Program(
        target=spec,
        inputs=tuple(inputs) if inputs else (Port(name="input", shape=(first.in_size,)),),
        layers=tuple(layers),
        outputs=tuple(outputs) if outputs else (layers[-1].name,),
        readout=readout,
        latency=latency if latency is not None else spec.edge_delay_min * len(layers),
        latencies=latencies,
    )


def train(*steps: Any) -> Int64:
    """One sample's input: a number (one source) or a list (all sources) per step."""
    rows = [np.atleast_1d(np.asarray(step, np.int64)) for step in steps]
    return np.stack(rows)[np.newaxis]
