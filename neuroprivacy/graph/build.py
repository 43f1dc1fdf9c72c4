"""A checked tree to nir's nodes, and nir's nodes to a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.graph.fault import Fault, one_line
from neuroprivacy.graph.schema import GRAPH, NODES
from neuroprivacy.graph.shapes import InOut
from neuroprivacy.graph.tree import Leaf, Tree
from neuroprivacy.graph.validate import Checked

#: Shapes that are set after a node is made: nir would compute with them, and wrongly.
_SET_AFTER = {"Conv1d": "input_shape", "Conv2d": "input_shape"}


def to_graph(checked: Checked) -> nir.NIRGraph:
    """The graph, every node with the shapes that are known of it."""
    nodes = {name: _to_node(checked, name, node) for name, node in _group(checked.tree["nodes"]).items()}
    return nir.NIRGraph(nodes=nodes, edges=list(checked.edges), metadata=_metadata(checked.tree), type_check=False)


def _to_node(graph: Checked, name: str, value: Leaf | Tree) -> Any:
    if name in graph.nested:
        return to_graph(graph.nested[name])
    node = _group(value)
    kind = str(node["type"])
    given = {field: _plain(node[field]) for field in node if field not in ("type", "metadata")}
    metadata = _metadata(node)
    if kind == "Input":
        made: Any = nir.Input(input_type={"input": _shape(given["shape"])}, metadata=metadata)
    elif kind == "Output":
        made = nir.Output(output_type={"output": _shape(given["shape"])}, metadata=metadata)
    elif kind == "Flatten":
        given.pop("input_type", None)
        made = nir.Flatten(input_type={"input": None}, **given, metadata=metadata)
    elif kind in _SET_AFTER:
        stated = given.pop("input_shape", None)
        made = getattr(nir, kind)(input_shape=None, **given, metadata=metadata)
        made.input_shape = stated
    else:
        made = getattr(nir, kind)(**given, metadata=metadata)
    _state_shapes(made, graph.shapes[name])
    return made


def _state_shapes(node: Any, shapes: InOut) -> None:
    """Set a node's input and output types to these shapes; the graph's own check found them, nir infers fewer."""
    for attribute, key, shape in (("input_type", "input", shapes[0]), ("output_type", "output", shapes[1])):
        setattr(node, attribute, {key: None if shape is None else np.array(shape, np.int64)})


def from_graph(graph: nir.NIRGraph) -> Tree:
    """A graph as the tree of its file; nothing is checked but what cannot be written at all.

    Raises:
        Fault: a value has no form in a file.
    """
    return _from_graph("", graph)


def _from_graph(prefix: str, graph: Any) -> Tree:
    where = prefix.rstrip("/") or "graph"
    nodes: Tree = {}
    for name, node in graph.nodes.items():
        if not isinstance(name, str):
            raise Fault(f"{where}: the name {name!r} is no text", kind="structure", hint="rename it")
        nodes[name] = _from_node(prefix + name, node)
    edges: list[Any] = [[str(end) for end in edge] for edge in graph.edges]
    return _with_metadata(where, {"type": GRAPH, "nodes": nodes, "edges": edges}, graph)


def _from_node(where: str, node: Any) -> Tree:
    kind = type(node).__name__
    if kind == GRAPH:
        return _from_graph(where + "/", node)
    if kind not in NODES:
        raise Fault(f"{where}: is of the type {kind!r}, which NIR does not have", kind="structure")
    tree: Tree = {"type": kind}
    for field in NODES[kind]:
        if kind in ("Input", "Output"):
            value = getattr(node, f"{kind.lower()}_type")[kind.lower()]
        elif kind == "Flatten" and field.name == "input_type":
            value = None if node.input_type is None else node.input_type["input"]
        else:
            value = getattr(node, field.name)
        if value is not None:
            tree[field.name] = _leaf(f"{where}: {field.name}", value)
    return _with_metadata(where, tree, node)


def _with_metadata(where: str, tree: Tree, node: Any) -> Tree:
    metadata = node.metadata
    if isinstance(metadata, Mapping) and metadata:
        tree["metadata"] = _from_mapping(f"{where}: metadata", metadata)
    return tree


def _from_mapping(where: str, values: Mapping[Any, Any]) -> Tree:
    return {
        str(name): _from_mapping(where, value) if isinstance(value, Mapping) else _leaf(f"{where} {name}", value)
        for name, value in values.items()
    }


def _leaf(where: str, value: Any) -> Leaf:
    """Text, an array of text, or an array of numbers in the machine's byte order."""
    if isinstance(value, (str, bytes)):
        return _text(where, value)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Fault(f"{where} cannot be written ({one_line(error)})", kind="type") from error
    if array.dtype.kind in "USO" and array.size and all(isinstance(item, (str, bytes)) for item in array.flat):
        texts: list[Any] = _texts(where, array.tolist())
        return texts
    if array.dtype.kind not in "iufb" or array.dtype.itemsize > 8:
        shown = type(value).__name__ if array.dtype.hasobject else str(array.dtype)
        raise Fault(f"{where} holds {shown}, not numbers", kind="type", hint="NIR holds text, numbers and arrays")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)


def _texts(where: str, value: Any) -> Any:
    return [_texts(where, item) for item in value] if isinstance(value, list) else _text(where, value)


def _text(where: str, value: str | bytes) -> str:
    """Convert to text that HDF5 can store."""
    try:
        text = (value if isinstance(value, bytes) else value.encode()).decode()
    except UnicodeError as error:
        raise Fault(f"{where} holds text that is not UTF-8", kind="type") from error
    if "\0" in text:
        raise Fault(f"{where} holds text with a NUL", kind="type", hint="remove it")
    return text


def _group(value: Leaf | Tree) -> Tree:
    if not isinstance(value, dict):
        raise TypeError("a checked tree has groups here")
    return value


def _metadata(tree: Tree) -> dict[str, Any]:
    return {name: _plain(value) for name, value in _group(tree.get("metadata", {})).items()}


def _plain(value: Leaf | Tree) -> Any:
    """Convert an array without axes to a numpy scalar, as nir.read returns it."""
    if isinstance(value, dict):
        return {name: _plain(below) for name, below in value.items()}
    if isinstance(value, np.ndarray) and not value.ndim:
        return value[()]
    return value


def _shape(value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(np.int64)
