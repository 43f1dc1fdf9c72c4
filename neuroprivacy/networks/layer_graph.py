"""A network as a graph of layers: what conversion reads of an ANN, export of a snnTorch module, and what runs over
time.

A node is an input, a layer without memory, a ReLU, a population of neurons, or a sum. The modules stand beside the
graph under the names of their nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

#: Names that a container of modules keeps for itself; no layer can have one.
RESERVED = frozenset(dir(nn.ModuleDict()))
Shape = tuple[int, ...]
Kind = Literal["input", "layer", "relu", "neuron", "add"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a network's graph: an input, layer, population or sum.

    Attributes:
        name: its name; that of its module, if it has one.
        kind: what it does. "relu" stands only in an ANN that has not been converted.
        sources: names of the nodes whose values it reads.
        shape: of its output, without time and batch.
    """

    name: str
    kind: Kind
    sources: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerGraph:
    """Nodes in topological order, with their modules.

    Attributes:
        nodes: sources first.
        modules: of the nodes of kind "layer" and "neuron", by name.
        outputs: nodes whose values are the result, in the order in which they are returned.
    """

    nodes: tuple[Node, ...]
    modules: dict[str, nn.Module]
    outputs: tuple[str, ...]

    @property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @property
    def last(self) -> Node:
        """The node that is the one result."""
        return self.by_name[self.outputs[0]]

    def needed(self) -> LayerGraph:
        """The graph without nodes that lead to no output."""
        wanted = set(self.outputs)
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.sources)
        nodes = tuple(node for node in self.nodes if node.name in wanted)
        return LayerGraph(
            nodes=nodes, modules={name: m for name, m in self.modules.items() if name in wanted}, outputs=self.outputs
        )

    @torch.no_grad()
    def run(self, x: Tensor) -> dict[str, Tensor]:
        """The value of every node of an ANN for x (batch, *input shape)."""
        values: dict[str, Tensor] = {}
        for node in self.nodes:
            values[node.name] = x if node.kind == "input" else self._compute(node, values)
        return values

    @torch.no_grad()
    def result(self, values: Mapping[str, Tensor], *, instead: Mapping[str, Tensor]) -> Tensor:
        """The result of an ANN if some nodes had other values.

        Args:
            values: result of `run`.
            instead: node -> its other value.
        """
        changed = dict(instead)
        for node in self.nodes:
            if node.name not in changed and any(source in changed for source in node.sources):
                changed[node.name] = self._compute(node, {**values, **changed})
        return changed.get(self.outputs[0], values[self.outputs[0]])

    def _compute(self, node: Node, values: Mapping[str, Tensor]) -> Tensor:
        given = [values[source] for source in node.sources]
        if node.kind == "relu":
            return given[0].relu()
        if node.kind == "add":
            return sum(given[1:], start=given[0])
        result: Tensor = self.modules[node.name](given[0])
        return result
