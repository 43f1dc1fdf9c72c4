"""From the graph to the draft: every neuron node with the linear maps that lead into it.

A path from a source to a neuron holds one linear node (Linear, Affine, Conv2d); pools before it are folded into it,
Flatten only renames indices. Edges that meet in one node add, as NIR says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import nir
import numpy as np

from neuroprivacy.encoding import Encoder
from neuroprivacy.errors import UnsupportedNode
from neuroprivacy.graph import GraphInfo
from neuroprivacy.lower.discretize import NEURONS, StepNeuron, discretize
from neuroprivacy.lower.draft import Draft, DraftEdge, DraftLayer, Float64
from neuroprivacy.lower.fold_pools import LINEAR, POOLS, Folded, fold_path
from neuroprivacy.program import Port

Node = Any


def collect(graph: nir.NIRGraph, *, info: GraphInfo, dt_s: float) -> Draft:
    """The draft of a graph.

    Raises:
        UnsupportedNode: a node, or an arrangement of nodes, has no integer form; named, with the remedy.
    """
    walker = _Walker(graph, info, dt_s)
    layers = [walker.layer(name) for name in graph.nodes if isinstance(graph.nodes[name], NEURONS)]
    outputs = []
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.Output):
            continue
        for source in walker.sources[name]:
            last = graph.nodes[source]
            if isinstance(last, NEURONS):
                outputs.append(source)
            elif isinstance(last, LINEAR):
                layers.append(walker.readout(source))
                outputs.append(source)
            else:
                raise UnsupportedNode(
                    f"{source}: {type(last).__name__} cannot be an output; end in neurons or a linear layer"
                )
    if not outputs:
        raise UnsupportedNode("graph: nothing leads to an output")
    silent = not next(layer for layer in layers if layer.name == outputs[0]).fires
    ports = tuple(walker.port(n) for n, node in graph.nodes.items() if isinstance(node, nir.Input))
    return Draft(
        inputs=ports,
        layers=_ordered(layers, {port.name for port in ports}),
        outputs=tuple(outputs),
        readout="membrane" if silent else "spike_count",
    )


class _Walker:
    """The graph with its edges by target, and what is known of time and input."""

    def __init__(self, graph: nir.NIRGraph, info: GraphInfo, dt_s: float) -> None:
        self.graph, self.info, self.dt_s = graph, info, dt_s
        self.sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for source, target in graph.edges:
            if source not in graph.nodes or target not in graph.nodes:
                raise UnsupportedNode(f"graph: the edge {source} -> {target} joins a node that does not exist")
            self.sources[target].append(source)
        for name, node in graph.nodes.items():
            if not isinstance(node, (*NEURONS, *LINEAR, *POOLS, nir.Flatten, nir.Input, nir.Output)):
                raise UnsupportedNode(f"{name}: {type(node).__name__} is not supported; replace it by a supported node")

    def port(self, name: str) -> Port:
        """The input port of an Input node."""
        shape = self._shape(name)
        if self.info.coding is None:
            return Port(name=name, shape=shape)
        return Encoder(coding=self.info.coding, steps=1).port(shape, name=name)

    def layer(self, name: str) -> DraftLayer:
        """A neuron node with everything that leads into it."""
        neuron = discretize(name, self.graph.nodes[name], dt_s=self.dt_s)
        size = math.prod(neuron.shape)
        edges, bias = self._incoming(self.sources[name], size, neuron)
        return DraftLayer(
            name=name,
            shape=neuron.shape,
            edges=edges,
            bias=bias + neuron.bias,
            threshold=neuron.threshold,
            beta=neuron.beta,
            reset=self.info.reset or "hard",
        )

    def readout(self, name: str) -> DraftLayer:
        """A linear node at the end: neurons that only integrate, with the leak that the graph or all its neurons have.

        Raises:
            UnsupportedNode: the graph does not state it and its neurons differ.
        """
        maps = self._maps(name)
        shape = maps[0][1].shape if maps else (1,)
        size = math.prod(shape)
        leaks = [
            discretize(n, node, dt_s=self.dt_s).beta
            for n, node in self.graph.nodes.items()
            if isinstance(node, NEURONS)
        ]
        betas = np.concatenate(leaks) if leaks else np.ones(1)
        if self.info.readout_beta is None and float(np.ptp(betas)) > 1e-6:
            raise UnsupportedNode(
                f"{name}: a readout takes the leak of the network's neurons, and these differ; add neurons"
            )
        beta = float(betas[0]) if self.info.readout_beta is None else self.info.readout_beta
        neuron = StepNeuron(
            shape=shape, beta=np.full(size, beta), gain=np.ones(size), bias=np.zeros(size), threshold=np.ones(size)
        )
        edges, bias = self._incoming([name], size, neuron)
        return DraftLayer(
            name=name, shape=shape, edges=edges, bias=bias, threshold=neuron.threshold, beta=neuron.beta,
            reset=self.info.reset or "hard", fires=False,
        )  # fmt: skip

    def _incoming(self, ends: Sequence[str], size: int, neuron: StepNeuron) -> tuple[tuple[DraftEdge, ...], Float64]:
        """All paths that end in `ends`, scaled by the neuron's input gain."""
        edges: list[DraftEdge] = []
        bias = np.zeros(size)
        counted: set[str] = set()
        for end in ends:
            for source, folded in self._maps(end):
                if folded.out_size != size:
                    raise UnsupportedNode(f"{end}: gives {folded.out_size} values to {size} neurons")
                scale = self.port(source).scale if isinstance(self.graph.nodes[source], nir.Input) else 1.0
                edges.append(folded.edge(source, gain=neuron.gain, scale=scale))
                if folded.name not in counted:  # a linear node that several sources feed has one bias
                    bias += folded.bias * neuron.gain
                    counted.add(folded.name)
        if not edges:
            raise UnsupportedNode(f"{', '.join(ends) or 'a neuron'}: nothing feeds it")
        return tuple(edges), bias

    def _shape(self, name: str) -> tuple[int, ...]:
        """Shape of what an input or a neuron node gives."""
        node = self.graph.nodes[name]
        shape = next(iter(node.input_type.values())) if isinstance(node, nir.Input) else np.shape(node.v_threshold)
        return tuple(int(n) for n in np.atleast_1d(np.asarray(shape, np.int64))) or (1,)

    def _maps(self, name: str) -> list[tuple[str, Folded]]:
        """(source, map from it to `name`) for every way back to a neuron or an input."""
        return [(source, fold_path(path, where=name, shape=self._shape(source))) for source, path in self._paths(name)]

    def _paths(self, name: str) -> list[tuple[str, list[tuple[str, Node]]]]:
        """(source, nodes from the source to `name`) for every way back to a neuron or an input."""
        found: list[tuple[str, list[tuple[str, Node]]]] = []
        stack: list[tuple[str, list[tuple[str, Node]]]] = [(name, [])]
        while stack:
            at, after = stack.pop()
            node = self.graph.nodes[at]
            if isinstance(node, (*NEURONS, nir.Input)):
                found.append((at, after))
                continue
            if len(after) > len(self.graph.nodes):
                raise UnsupportedNode(f"{at}: linear nodes form a cycle without a neuron")
            stack += [(source, [(at, node), *after]) for source in reversed(self.sources[at])]
        return found


def _ordered(layers: list[DraftLayer], ready: set[str]) -> tuple[DraftLayer, ...]:
    """Sources first; where a cycle leaves no such layer, the one nearest to the inputs goes next."""
    ordered: list[DraftLayer] = []
    waiting = list(layers)
    seen = set(ready)
    while waiting:
        free = [n for n in waiting if all(e.source in seen or e.source == n.name for e in n.edges)]
        touched = [n for n in waiting if any(e.source in seen for e in n.edges)]
        chosen = (free or touched or waiting)[0]
        ordered.append(chosen)
        seen.add(chosen.name)
        waiting.remove(chosen)
    return tuple(ordered)
