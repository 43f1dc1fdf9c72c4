"""A tree is a NIR graph, or there is a named reason why not. Plain numpy; runs before any nir node is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroprivacy.graph.fault import Fault, shown_name
from neuroprivacy.graph.limits import MAX_NESTING
from neuroprivacy.graph.schema import GRAPH, NODES
from neuroprivacy.graph.shapes import InOut, check_edges, check_parameters, own_shapes
from neuroprivacy.graph.tree import Leaf, Shape, Tree
from neuroprivacy.graph.values import check_fields, check_metadata, check_name, text

#: Versions of nir whose files have this layout.
_KNOWN_VERSION = re.compile(r"[01]\.\d+(\.\d+)?([.+\-]?[a-z0-9.+]+)?", re.ASCII)
_GRAPH_FIELDS = ("type", "nodes", "edges", "metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A graph that passed all checks.

    Attributes:
        tree: the fields of the graph.
        edges: pairs of names of nodes.
        shapes: what every node takes and gives, as far as the graph says.
        nested: graphs among the nodes.
    """

    tree: Tree
    edges: tuple[tuple[str, str], ...]
    shapes: Mapping[str, InOut]
    nested: Mapping[str, Checked]


def validate(tree: Tree) -> Checked:
    """Check the tree of a whole file.

    Raises:
        Fault: it is none, or no network can have its values.
    """
    if "version" not in tree:
        raise Fault("is not a NIR graph (it states no version)", kind="structure", hint="write it with nir.write")
    version = text("graph: version", tree["version"])
    if not _KNOWN_VERSION.fullmatch(version):
        raise Fault(
            f"is of NIR version {shown_name(version)!r}, versions 0 and 1 are known", kind="structure",
            hint="write it with nir 1",
        )  # fmt: skip
    node = tree.get("node")
    if not isinstance(node, dict):
        raise Fault("is not a NIR graph (it has no group 'node')", kind="structure", hint="write it with nir.write")
    kind = _kind("graph", node)
    if kind != GRAPH:
        raise Fault(f"is not a NIR graph (it holds a single {kind})", kind="structure", hint="put it into a NIRGraph")
    return check_graph("", node)


def check_graph(prefix: str, tree: Tree) -> Checked:
    """One graph; `prefix` leads to it: "" or "outer/inner/".

    Raises:
        Fault: something in it is not as NIR says.
    """
    where = prefix.rstrip("/") or "graph"
    if prefix.count("/") > MAX_NESTING:
        raise Fault(f"{where}: graphs are nested deeper than {MAX_NESTING}", kind="structure")
    for name in tree:
        if name not in _GRAPH_FIELDS:
            raise Fault(f"{where}: has a field {shown_name(name)!r}, a NIRGraph of NIR has none", kind="structure")
    nodes = tree.get("nodes")
    if not isinstance(nodes, dict) or not nodes:
        raise Fault(f"{where}: has no nodes", kind="structure")
    check_metadata(where, tree.get("metadata", {}))
    nested: dict[str, Checked] = {}
    known: dict[str, InOut] = {}
    kinds: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, node in nodes.items():
        check_name(where, name)
        if not isinstance(node, dict):
            raise Fault(f"{prefix}{name}: is no group of fields", kind="type")
        kind = _kind(prefix + name, node)
        if kind == GRAPH:
            nested[name] = check_graph(f"{prefix}{name}/", node)
            known[name] = _outside(nested[name])
        else:
            check_fields(prefix + name, kind, node)
            check_parameters(prefix + name, kind, node)
            known[name] = own_shapes(prefix + name, kind, node)
        kinds[name] = (kind, node)
    edges = _edges(where, tree.get("edges"), nodes)
    _reachable(where, kinds, edges)
    return Checked(tree=tree, edges=edges, shapes=_carried(prefix, kinds, known, edges), nested=nested)


def _kind(where: str, node: Tree) -> str:
    """The node type that an entry of the file names."""
    if "type" not in node:
        raise Fault(f"{where}: states no type", kind="structure", hint="write it with nir.write")
    kind = text(f"{where}: type", node["type"])
    if kind != GRAPH and kind not in NODES:
        raise Fault(f"{where}: is of the type {shown_name(kind)!r}, which NIR does not have", kind="structure")
    return kind


def _edges(where: str, value: Leaf | Tree | None, nodes: Tree) -> tuple[tuple[str, str], ...]:
    """Pairs of names that exist, each pair once."""
    if value is None or (isinstance(value, (np.ndarray, list)) and not len(np.ravel(value))):
        raise Fault(f"{where}: has no edges", kind="structure", hint="join its nodes by edges")
    if not isinstance(value, list) or not all(
        isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, str) for end in edge) for edge in value
    ):
        raise Fault(f"{where}: edges is no list of pairs of names", kind="type", hint="write it with nir.write")
    seen: set[tuple[str, str]] = set()
    for source, target in value:
        shown = f"{shown_name(source)} -> {shown_name(target)}"
        for end in (source, target):
            if end not in nodes:
                raise Fault(f"{where}: the edge {shown} joins {shown_name(end)!r}, which is no node", kind="structure")
        if (source, target) in seen:
            raise Fault(f"{where}: the edge {shown} is there twice", kind="structure", hint="remove one")
        seen.add((source, target))
    return tuple((source, target) for source, target in value)


def _reachable(
    where: str, kinds: Mapping[str, tuple[str, Mapping[str, Any]]], edges: tuple[tuple[str, str], ...]
) -> None:
    """Something can come from an input to an output."""
    for wanted in ("Input", "Output"):
        if all(kind != wanted for kind, _ in kinds.values()):
            raise Fault(f"{where}: has no {wanted} node", kind="structure", hint=f"add an {wanted} node")
    after: dict[str, list[str]] = {name: [] for name in kinds}
    for source, target in edges:
        after[source].append(target)
    reached = {name for name, (kind, _) in kinds.items() if kind == "Input"}
    waiting = list(reached)
    while waiting:
        new = [name for name in after[waiting.pop()] if name not in reached]
        reached.update(new)
        waiting += new
    if all(kinds[name][0] != "Output" for name in reached):
        raise Fault(f"{where}: no output can be reached from an input", kind="structure", hint="add the missing edges")


def _outside(graph: Checked) -> InOut:
    """Input and output shape of a nested graph that has one input and one output."""

    def only(kind: str) -> Shape | None:
        nodes: Any = graph.tree["nodes"]
        found = [graph.shapes[name][0] for name, node in nodes.items() if node["type"] == kind]
        return found[0] if len(found) == 1 else None

    return only("Input"), only("Output")


def _carried(
    prefix: str,
    kinds: Mapping[str, tuple[str, Mapping[str, Any]]],
    known: Mapping[str, InOut],
    edges: tuple[tuple[str, str], ...],
) -> dict[str, InOut]:
    """Shapes along the edges; names in a refusal carry the prefix."""
    found = check_edges(
        {prefix + name: kind for name, kind in kinds.items()},
        {prefix + name: known[name] for name in kinds},
        [(prefix + source, prefix + target) for source, target in edges],
    )
    return {name: found[prefix + name] for name in kinds}
