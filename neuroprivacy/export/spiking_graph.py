"""SpikingGraph to NIR: a node for each layer and each population, edges that meet where values are added.

A sum has no node of its own: what its parts lead to takes an edge from each, and NIR adds edges that meet. Where that
cannot say it (a sum at the end, or of one thing with itself) a Scale by one stands between.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from torch import nn

from neuroprivacy.export.nodes import node_of
from neuroprivacy.graph.metadata import DEFAULT_DT_S, GraphInfo
from neuroprivacy.networks import SpikingGraph, Step
from neuroprivacy.networks.spiking_graph import Scale


def spiking_graph_to_nir(net: SpikingGraph, *, dt_s: float = DEFAULT_DT_S) -> nir.NIRGraph:
    """A spiking network of a user's own layers as a NIR graph.

    Args:
        net: the network.
        dt_s: what one time step lasts, seconds.

    Returns:
        Nodes named as the network's steps, from `input` to `output`.

    Raises:
        UnsupportedNode: a layer has no NIR form.
    """
    spec = net.spec
    writing = _Writing(dt_s)
    shapes: dict[str, tuple[int, ...]] = {}
    for step in net.steps:
        given = shapes[step.sources[0]] if step.sources else step.shape
        writing.add(step, net.module(step), given)
        shapes[step.name] = step.shape
    writing.finish(net.steps[-1])
    info = GraphInfo(dt_s=dt_s, reset=spec.reset, readout=spec.readout, coding=spec.coding, steps=spec.steps,
        readout_beta=spec.beta, schedule=spec.schedule,
    )  # fmt: skip
    return nir.NIRGraph(nodes=writing.nodes, edges=writing.edges, metadata=info.to_metadata(), type_check=False)


class _Writing:
    """A graph that grows; `given` holds the nodes whose values together are what a step gives."""

    def __init__(self, dt_s: float) -> None:
        self.dt_s = dt_s
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.given: dict[str, tuple[str, ...]] = {}

    def add(self, step: Step, module: nn.Module | None, shape: tuple[int, ...]) -> None:
        """One step; `shape` is the shape of its input."""
        sources = tuple(node for source in step.sources for node in self.given[source])
        if step.kind == "add":
            self.given[step.name] = sources
            return
        self.given[step.name] = (step.name,)
        if module is None:
            self.nodes[step.name] = nir.Input({"input": np.array(step.shape)})
            return
        self._join(sources, step.name, _node(step.name, module, shape, self.dt_s), shape)

    def finish(self, last: Step) -> None:
        """The output."""
        sources = self.given[last.name]
        if len(sources) > 1:
            self._join(sources, last.name, _same(last.shape), last.shape)
            sources = (last.name,)
        self._join(sources, "output", nir.Output({"output": np.array(last.shape)}), last.shape)

    def _join(self, sources: tuple[str, ...], name: str, node: nir.NIRNode, shape: tuple[int, ...]) -> None:
        """A node that reads the sum of others; what it reads twice comes once through a node that changes nothing."""
        self.nodes[name] = node
        for number, source in enumerate(sources):
            if (source, name) in self.edges:
                again = f"{name}_again{number}"
                self.nodes[again] = _same(shape)
                self.edges.append((source, again))
                source = again
            self.edges.append((source, name))


def _same(shape: tuple[int, ...]) -> nir.Scale:
    return nir.Scale(scale=np.ones(shape, np.float32))


def _node(name: str, module: nn.Module, shape: tuple[int, ...], dt_s: float) -> nir.NIRNode:
    """One step as a node; `shape` is the shape of its input."""
    if isinstance(module, Scale):
        return nir.Scale(scale=np.full(shape, float(module.factor), np.float32))
    return node_of(name, module, shape, dt_s)
