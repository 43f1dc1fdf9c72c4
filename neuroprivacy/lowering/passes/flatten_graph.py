"""Nested graphs become one: inner nodes are named `outer/inner`, inner inputs and outputs disappear."""

from __future__ import annotations

from typing import Any

import nir

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.lowering.options import FrontEndContext

Edges = list[tuple[str, str]]
#: Deepest nesting; chosen.
MAX_DEPTH = 16


def flatten_graph(graph: nir.NIRGraph, context: FrontEndContext) -> nir.NIRGraph:
    """The graph without nested graphs; the given one if it has none.

    Raises:
        UnsupportedNode: an inner graph has more than one input or output, so that an edge to it is ambiguous.
    """
    return _flat(graph, 0)


def _flat(graph: nir.NIRGraph, depth: int) -> nir.NIRGraph:
    """A graph at a depth of nesting."""
    if not any(isinstance(node, nir.NIRGraph) for node in graph.nodes.values()):
        return graph
    if depth > MAX_DEPTH:
        raise UnsupportedNode(f"graph: is nested more than {MAX_DEPTH} deep")
    nodes: dict[str, Any] = {}
    edges: Edges = []
    entry: dict[str, list[str]] = {}
    leave: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.NIRGraph):
            nodes[name] = node
            entry[name] = leave[name] = [name]
            continue
        inner = _flat(node, depth + 1)
        inputs = [n for n, v in inner.nodes.items() if isinstance(v, nir.Input)]
        outputs = [n for n, v in inner.nodes.items() if isinstance(v, nir.Output)]
        if len(inputs) != 1 or len(outputs) != 1:
            raise UnsupportedNode(
                f"{name}: a nested graph with {len(inputs)} inputs and {len(outputs)} outputs cannot be joined by "
                "edges that name only the graph; give it one of each, or put its nodes into the outer graph"
            )
        ends = {inputs[0], outputs[0]}
        nodes.update({f"{name}/{n}": v for n, v in inner.nodes.items() if n not in ends})
        entry[name] = _full(name, [b for a, b in inner.edges if a == inputs[0]], ends)
        leave[name] = _full(name, [a for a, b in inner.edges if b == outputs[0]], ends)
        edges += [(f"{name}/{a}", f"{name}/{b}") for a, b in inner.edges if a not in ends and b not in ends]
    for source, target in graph.edges:
        if source not in leave or target not in entry:
            raise UnsupportedNode(f"graph: the edge {source} -> {target} joins a node that does not exist")
        edges += [(a, b) for a in leave[source] for b in entry[target]]
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=dict(graph.metadata), type_check=False)


def _full(name: str, members: list[str], ends: set[str]) -> list[str]:
    """Full names of an inner graph's first or last nodes."""
    if not members or ends & set(members):
        raise UnsupportedNode(f"{name}: a nested graph must hold nodes between its input and its output")
    return [f"{name}/{member}" for member in members]
