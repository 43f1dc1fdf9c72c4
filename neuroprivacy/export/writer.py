"""A NIR graph that grows: a node for each layer and each population, edges that meet where values are added.

A sum has no node of its own: what its parts lead to takes an edge from each, and NIR adds edges that meet. Where that
cannot express it (a sum at the end, or of one thing with itself) a Scale by one stands between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nir
import numpy as np

from neuroprivacy.graph.metadata import GraphInfo
from neuroprivacy.networks.layer_graph import Node, Shape


class GraphWriter:
    """Nodes and edges of a layer graph; a sum is resolved to the nodes whose values are added."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.by_name: Mapping[str, Node] = {node.name: node for node in nodes}
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []

    def write(self, make: Callable[[Node, Shape], nir.NIRNode], more: Callable[[Node], Mapping[str, Any]]) -> None:
        """All nodes and the edges between them.

        Args:
            make: a node and the shape of its input -> its NIR node.
            more: a node -> NIR nodes that lead from it back to itself, by name.
        """
        for node in self.by_name.values():
            if node.kind == "add":
                continue
            if node.kind == "input":
                self.nodes[node.name] = nir.Input({"input": np.array(node.shape)})
                continue
            shape = self.by_name[node.sources[0]].shape
            self.join(self.summands(node.sources[0]), node.name, make(node, shape), shape)
            for name, back in more(node).items():
                self.nodes[name] = back
                self.edges += [(node.name, name), (name, node.name)]

    def end(self, last: str, name: str) -> None:
        """An output that reads a node."""
        shape = self.by_name[last].shape
        sources = self.summands(last)
        if len(sources) > 1:
            self.join(sources, last, _same(shape), shape)
            sources = (last,)
        name = self._free(name)
        self.join(sources, name, nir.Output({"output": np.array(shape)}), shape)

    def summands(self, name: str) -> tuple[str, ...]:
        """The nodes whose values add up to a node's value."""
        node = self.by_name[name]
        return (
            tuple(part for source in node.sources for part in self.summands(source)) if node.kind == "add" else (name,)
        )

    def join(self, sources: tuple[str, ...], name: str, node: nir.NIRNode, shape: Shape) -> None:
        """A node that reads the sum of others; what it reads twice comes once through a node that changes nothing."""
        self.nodes[name] = node
        for number, source in enumerate(sources):
            if (source, name) in self.edges:
                again = self._free(f"{name}_again{number}")
                self.nodes[again] = _same(shape)
                self.edges.append((source, again))
                source = again
            self.edges.append((source, name))

    def _free(self, name: str) -> str:
        """A name that no node has."""
        while name in self.nodes or name in self.by_name:
            name += "_"
        return name

    def graph(self, info: GraphInfo) -> nir.NIRGraph:
        """The finished graph. nir takes one side of a kernel for both; shapes are inferred by our own reader."""
        return nir.NIRGraph(nodes=self.nodes, edges=self.edges, metadata=info.to_metadata(), type_check=False)


def _same(shape: Shape) -> nir.Scale:
    return nir.Scale(scale=np.ones(shape, np.float32))
