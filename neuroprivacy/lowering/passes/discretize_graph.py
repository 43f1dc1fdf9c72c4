"""From continuous time to time steps: every neuron node with its incoming linear maps becomes a layer.

A path from a source to a neuron holds linear nodes only and becomes one map (`linear_path`). Edges that meet in one
node add, as NIR says. Biases of linear nodes are propagated separately: a node with several sources adds its bias once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import nir
import numpy as np

from neuroprivacy.core.errors import Issue, UnsupportedNode
from neuroprivacy.graph.fault import Fault
from neuroprivacy.graph.shapes import node_output_shape
from neuroprivacy.kernels.formats import Float64
from neuroprivacy.lowering.discretize import NEURONS, SILENT, StepNeuron, discretize
from neuroprivacy.lowering.ir.continuous import ContinuousNetwork
from neuroprivacy.lowering.ir.real import RealConnection, RealLayer, RealNetwork
from neuroprivacy.lowering.linear_path import Path, paths
from neuroprivacy.lowering.node_maps import LINEAR, WEIGHTED, Shape, apply_node, read_as
from neuroprivacy.lowering.options import FrontEndContext
from neuroprivacy.program import Port
from neuroprivacy.program.encoder import Encoder

Node = Any
#: Relative distance of a delay from a whole number of steps that gives a diagnostic.
_WHOLE = 1e-3


def discretize_graph(network: ContinuousNetwork, context: FrontEndContext) -> RealNetwork:
    """The real-valued IR of a graph in time steps.

    Raises:
        UnsupportedNode: a node, or an arrangement of nodes, has no integer form; named, with the remedy.
    """
    graph = network.graph
    walker = _Walker(network)
    layers = [walker.layer(name) for name in graph.nodes if isinstance(graph.nodes[name], NEURONS)]
    outputs: list[str] = []
    for name, node in graph.nodes.items():
        for last in walker.sources[name] if isinstance(node, nir.Output) else ():
            source = walker.behind_flatten(last)
            if source in outputs:
                raise UnsupportedNode(f"{source}: leads to more than one output; keep one")
            if isinstance(graph.nodes[source], LINEAR):
                layers.append(walker.readout(source))
            elif not isinstance(graph.nodes[source], NEURONS):
                raise UnsupportedNode(f"{source}: an input cannot be an output; put neurons between")
            outputs.append(source)
    if not outputs:
        raise UnsupportedNode("graph: nothing leads to an output")
    by_name = {layer.name: layer for layer in layers}
    outputs.sort(key=lambda name: by_name[name].fires)  # a membrane readout comes first
    needed = _needed(by_name, outputs)
    if idle := sorted(by_name.keys() - {layer.name for layer in needed}):
        what = "leads to no output and is left out"
        walker.diagnostics += [Issue(where=name, what=what, fatal=False) for name in idle]
    ports = tuple(walker.port(n) for n, node in graph.nodes.items() if isinstance(node, nir.Input))
    return RealNetwork(
        inputs=ports,
        layers=_in_order(needed, {port.name for port in ports}),
        outputs=tuple(outputs),
        readout="spike_count" if by_name[outputs[0]].fires else "membrane",
        dt_s=network.dt_s,
        diagnostics=(*network.diagnostics, *walker.diagnostics),
    )


class _Walker:
    """A graph with its edges by target, its neurons in time steps and its shapes."""

    def __init__(self, network: ContinuousNetwork) -> None:
        graph = network.graph
        self.network, self.graph, self.info = network, graph, network.info
        self.diagnostics: list[Issue] = []
        self.sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
        self.neurons: dict[str, StepNeuron] = {}
        self.shapes: dict[str, Shape] = {}
        for source, target in graph.edges:
            if source not in graph.nodes or target not in graph.nodes:
                raise UnsupportedNode(f"graph: the edge {source} -> {target} joins a node that does not exist")
            self.sources[target].append(source)
        for name, node in graph.nodes.items():
            if not isinstance(node, (*NEURONS, *LINEAR, nir.Input, nir.Output)):
                raise UnsupportedNode(f"{name}: {type(node).__name__} is not supported; replace it by a supported node")
            _must_be_finite(name, node)
            if isinstance(node, NEURONS):
                self.neurons[name] = self._discretized(name)

    def _discretized(self, name: str) -> StepNeuron:
        node, reset = self.graph.nodes[name], self.info.reset or "hard"
        return discretize(name, node, dt_s=self.network.dt_s, reset=reset, rule=self.network.rule)

    def port(self, name: str) -> Port:
        """The input port of an Input node."""
        shape = self.shape(name)
        if self.info.coding is None:
            return Port(name=name, shape=shape, high=self.network.input_max)
        return Encoder(coding=self.info.coding, time_steps=1).port(shape, name=name)

    def layer(self, name: str) -> RealLayer:
        """A neuron node with its incoming connections."""
        neuron = self.neurons[name]
        shape = self.shape(name)
        size = math.prod(shape)
        full = {
            f: np.broadcast_to(getattr(neuron, f), size)
            for f in ("alpha", "beta", "gain", "bias", "threshold", "start")
        }
        connections, bias = self._incoming(self.sources[name], size, full["gain"])
        # A constant synaptic input settles at a constant current; its transient is an initial current of -that.
        current = bias / (1 - full["alpha"])
        return RealLayer(
            name=name,
            shape=shape,
            connections=connections,
            bias=current + full["bias"],
            threshold=full["threshold"] if neuron.fires else np.ones(size),
            alpha=full["alpha"],
            beta=full["beta"],
            u_start=np.where(full["alpha"] > 0, -current, 0.0),
            v_start=full["start"],
            reset=self.info.reset or "hard",
            fires=neuron.fires,
        )

    def readout(self, name: str) -> RealLayer:
        """A linear node at the end: neurons that only integrate, with the leak that the graph or all its neurons have.

        Raises:
            UnsupportedNode: the graph does not state it and its neurons differ.
        """
        leaks = [np.atleast_1d(neuron.beta) for neuron in self.neurons.values() if neuron.fires]
        betas = np.concatenate(leaks) if leaks else np.ones(1)
        if self.info.readout_beta is None and float(np.ptp(betas)) > 1e-6:
            raise UnsupportedNode(
                f"{name}: a readout takes the leak of the network's neurons, and these differ; add neurons"
            )
        beta = float(betas[0]) if self.info.readout_beta is None else self.info.readout_beta
        shape = self.shape(name)
        one = np.ones(math.prod(shape))
        connections, bias = self._incoming([name], one.size, one)
        return RealLayer(
            name=name, shape=shape, connections=connections, bias=bias, threshold=one, alpha=0 * one, beta=beta * one,
            u_start=0 * one, v_start=0 * one, reset=self.info.reset or "hard", fires=False,
        )  # fmt: skip

    def behind_flatten(self, name: str) -> str:
        """The node whose values an output reads: Flatten only reshapes them."""
        while isinstance(self.graph.nodes[name], nir.Flatten) and len(self.sources[name]) == 1:
            (name,) = self.sources[name]
        return name

    def _incoming(self, ends: Sequence[str], size: int, gain: Float64) -> tuple[tuple[RealConnection, ...], Float64]:
        """All paths that end in `ends`, scaled by the neuron's input gain, and the sum of their biases."""
        connections: list[RealConnection] = []
        bias = np.zeros(size)
        for end in ends:
            for source, path in self._paths(end):
                if path.size != size:
                    raise UnsupportedNode(f"{end}: gives {path.size} values to {size} neurons")
                scale = self.port(source).scale if isinstance(self.graph.nodes[source], nir.Input) else 1.0
                steps = self._steps(end, path.delay_s)
                connections.append(path.connection(source, gain=gain * scale, model_delay=steps))
            bias = bias + self.bias(end).reshape(-1) * gain
        if not connections:
            raise UnsupportedNode(f"{', '.join(ends) or 'a neuron'}: nothing feeds it")
        return tuple(connections), bias

    def _steps(self, name: str, delay_s: float) -> int:
        """A delay in steps; a rounded one gives a diagnostic."""
        exact = delay_s / self.network.dt_s
        steps = round(exact)
        if abs(exact - steps) > _WHOLE * max(exact, 1):
            what = f"a delay of {delay_s:g} s is {exact:.3g} steps and becomes {steps}"
            self.diagnostics.append(Issue(where=name, what=what, hint="choose a --dt that divides it", fatal=False))
        return steps

    def shape(self, name: str) -> Shape:
        """Output shape of a node; neurons that hold single values have the shape of their source."""
        if name not in self.shapes:
            self.shapes[name] = (0,)  # a loop that leads back here without a shape finds this
            shape = self._shape(name)
            if shape == (0,):
                del self.shapes[name]  # known only from within the loop that is being followed
                return shape
            self.shapes[name] = shape
        return self.shapes[name]

    def _shape(self, name: str) -> Shape:
        node = self.graph.nodes[name]
        if isinstance(node, nir.Input):
            stated = next(iter(node.input_type.values()))
            shape = tuple(int(n) for n in np.atleast_1d(np.asarray(stated, np.int64))) or (1,)
        elif isinstance(node, NEURONS):
            shape = self.neurons[name].shape
            if math.prod(shape) == 1:
                given = [self.shape(source) for source in self.sources[name]]
                shape = next((s for s in given if s != (0,)), shape) or (1,)
        else:
            given = [s for source in self.sources[name] if (s := self.shape(source)) != (0,)]
            shape = self._after(name, given[0]) if given else (0,)
        return shape

    def _after(self, name: str, shape: Shape) -> Shape:
        """Shape of the output of a linear node for an input of that shape."""
        node = self.graph.nodes[name]
        if isinstance(node, nir.Flatten):
            return (math.prod(shape),)
        try:
            return node_output_shape(name, node, read_as(name, node, shape))
        except Fault as fault:
            raise UnsupportedNode(f"{fault.reason}; {fault.hint}" if fault.hint else fault.reason) from fault

    def bias(self, name: str, *, seen: tuple[str, ...] = ()) -> Float64:
        """The constant part of a node's output, of its shape."""
        node = self.graph.nodes[name]
        if not isinstance(node, LINEAR):
            return np.zeros(self.shape(name))
        if name in seen:
            raise UnsupportedNode(f"{name}: linear nodes form a cycle without a neuron; put neurons into it")
        given = [self.bias(source, seen=(*seen, name)).reshape(-1) for source in self.sources[name]]
        if not given or (not any(g.any() for g in given) and not isinstance(node, WEIGHTED)):
            return np.zeros(self.shape(name))
        total = np.sum(given, axis=0).reshape(1, *self.shape(self.sources[name][0]))
        if isinstance(node, nir.Flatten | nir.Delay):
            reshaped: Float64 = total.reshape(self.shape(name))
            return reshaped
        result: Float64 = apply_node(name, node, total.reshape(1, *read_as(name, node, total.shape[1:])), affine=True)[
            0
        ]
        return result

    def _paths(self, name: str) -> list[tuple[str, Path]]:
        """(source, map from it to `name`) for every way back to a neuron or an input."""
        found: list[tuple[str, Path]] = []
        stack: list[tuple[str, list[tuple[str, Node]]]] = [(name, [])]
        while stack:
            at, after = stack.pop()
            node = self.graph.nodes[at]
            if isinstance(node, SILENT):
                raise UnsupportedNode(
                    f"{at}: {type(node).__name__} gives real values and a chip sends spikes; only an output can be read"
                )
            if isinstance(node, (*NEURONS, nir.Input)):
                found += [(at, path) for path in paths(after, shape=self.shape(at))]
                continue
            if len(after) > len(self.graph.nodes):
                raise UnsupportedNode(f"{at}: linear nodes form a cycle without a neuron; put neurons into it")
            stack += [(source, [(at, node), *after]) for source in reversed(self.sources[at])]
        return found


def _must_be_finite(name: str, node: Node) -> None:
    """A graph that was made in memory has not been through `load_nir`."""
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, np.ndarray) and value.dtype.kind in "fc" and not np.isfinite(value).all():
            raise UnsupportedNode(f"{name}: {field.name} holds a value that is not finite; train or export it again")


def _needed(layers: dict[str, RealLayer], outputs: Sequence[str]) -> list[RealLayer]:
    """Layers that lead to an output, in the graph's order."""
    needed = set(outputs)
    while True:
        more = {c.source for name in needed for c in layers[name].connections if c.source in layers} - needed
        if not more:
            return [layer for name, layer in layers.items() if name in needed]
        needed |= more


def _in_order(layers: list[RealLayer], ready: set[str]) -> tuple[RealLayer, ...]:
    """Sources first; where a loop leaves no such layer, the one nearest to the inputs goes next.

    A connection from a later layer, or from the layer itself, reads the time step before: its model delay is 1.
    """
    ordered: list[RealLayer] = []
    waiting = list(layers)
    seen = set(ready)
    while waiting:
        free = [
            n for n in waiting if all(c.source in seen or c.source == n.name or c.model_delay for c in n.connections)
        ]
        touched = [n for n in waiting if any(c.source in seen for c in n.connections)]
        chosen = (free or touched or waiting)[0]
        connections = tuple(
            c if c.source in seen or c.model_delay else replace(c, model_delay=1) for c in chosen.connections
        )
        ordered.append(replace(chosen, connections=connections))
        seen.add(chosen.name)
        waiting.remove(chosen)
    return tuple(ordered)
