"""What shape goes into a node and what comes out, and whether the shapes along the edges fit.

    convolution, pool   out = ⌊(in + 2 · padding − dilation · (kernel − 1) − 1) / stride⌋ + 1   for each axis
    "same"              out = ⌈in / stride⌉

Two things that other frameworks write are taken for what they mean. Axes of one in front of an Input or Output that
what it is joined to does not have are the batch, or time: they are left out. Neurons that hold one value for all have
the shape of what feeds them.

nir 1.0.8 infers shapes too, but takes the kernel's height for its width as well, and the channels of one group for all
(nir/ir/conv.py, `__post_init__`): its numbers are not used.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroprivacy.graph.fault import Fault
from neuroprivacy.graph.limits import MAX_ELEMENTS
from neuroprivacy.graph.schema import ELEMENTWISE, GRAPH, NEURONS, SPACE
from neuroprivacy.graph.tree import Shape
from neuroprivacy.graph.values import extents
from neuroprivacy.kernels.linear import window_positions

Node = Mapping[str, Any]
#: Shape of what a node takes and of what it gives; None where the graph does not say.
InOut = tuple[Shape | None, Shape | None]
_HINT = "give both the same shape"
_HINT_SPACE = _HINT + " (nir infers wrong ones for kernels that are not square, and for groups)"


def check_parameters(where: str, kind: str, node: Node) -> None:
    """The fields of one node among themselves.

    Raises:
        Fault: two do not belong together.
    """
    if kind in ELEMENTWISE:
        _one_shape(where, node)
    elif kind in ("Affine", "Linear"):
        weight = np.shape(node["weight"])
        if len(weight) < 2:
            raise Fault(f"{where}: weight has the shape {weight}, (outputs, inputs) belongs there", kind="shape")
        if kind == "Affine":
            _bias(where, node, weight[:-1])
    elif kind in ("Conv1d", "Conv2d"):
        weight = np.shape(node["weight"])
        axes = SPACE[kind]
        if len(weight) != 2 + axes:
            wanted = "(outputs, inputs, kernel)" if axes == 1 else "(outputs, inputs, height, width)"
            raise Fault(f"{where}: weight has the shape {weight}, {wanted} belongs there", kind="shape")
        groups = int(node["groups"])
        if weight[0] % groups:
            raise Fault(f"{where}: groups ({groups}) does not divide its {weight[0]} outputs", kind="shape")
        _bias(where, node, weight[:1])
    elif isinstance(node.get("padding"), str):
        raise Fault(f"{where}: padding of a pool is numbers, not text", kind="type")


def own_shapes(where: str, kind: str, node: Node) -> InOut:
    """The input and output shape that a node's parameters imply; none for neurons with a single value for all.

    Raises:
        Fault: a kernel is larger than the padded input that the node states.
    """
    taken: Shape | None = None
    if kind in ("Input", "Output"):
        taken = extents_of(node["shape"])
    elif kind in ELEMENTWISE:
        shape = np.shape(node[_parameters(node)[0]])
        taken = None if kind in NEURONS and math.prod(shape) == 1 else shape
    elif kind in ("Affine", "Linear"):
        weight = np.shape(node["weight"])
        taken = (*weight[:-2], weight[-1])
    elif kind in ("Conv1d", "Conv2d") and "input_shape" in node:
        taken = (_channels(node), *extents(node["input_shape"], SPACE[kind]))
    elif kind == "Flatten" and "input_type" in node:
        taken = extents_of(node["input_type"])
    return taken, None if taken is None else given_shape(where, kind, node, taken)


def given_shape(where: str, kind: str, node: Node, taken: Shape) -> Shape:
    """The output shape of a node for an input shape.

    Raises:
        Fault: it cannot take such an input.
    """
    if kind in ("Affine", "Linear"):
        return np.shape(node["weight"])[:-1]
    if kind == "Flatten":
        return _flattened(where, node, taken)
    if kind not in SPACE:
        return taken
    axes = SPACE[kind]
    if len(taken) != 1 + axes:
        wanted = "(channels, length)" if axes == 1 else "(channels, height, width)"
        raise Fault(f"{where}: takes {wanted} and gets {taken}", kind="shape", hint=_HINT_SPACE)
    if "weight" in node:
        if taken[0] != _channels(node):
            raise Fault(
                f"{where}: takes {_channels(node)} channels and gets {taken[0]}", kind="shape", hint=_HINT_SPACE
            )
        kernel, dilation = np.shape(node["weight"])[2:], extents(node["dilation"], axes)
        channels = int(np.shape(node["weight"])[0])
    else:
        kernel, dilation, channels = extents(node["kernel_size"], axes), (1,) * axes, taken[0]
    given = (channels, *_slid(where, node, taken[1:], kernel, dilation))
    if math.prod(given) > MAX_ELEMENTS:
        raise Fault(f"{where}: gives {given}, more than {MAX_ELEMENTS} values", kind="size")
    return given


def node_output_shape(where: str, node: Any, taken: Shape) -> Shape:
    """The output shape of a single nir node (not a nested graph) for an input shape.

    Raises:
        Fault: it cannot take such an input.
    """
    return given_shape(where, type(node).__name__, vars(node), taken)


def check_edges(
    nodes: Mapping[str, tuple[str, Node]], known: Mapping[str, InOut], edges: Sequence[tuple[str, str]]
) -> dict[str, InOut]:
    """Shapes of all nodes, carried along the edges as far as they are known.

    Args:
        nodes: type and fields by name; of a nested graph the fields are not looked at.
        known: what each node says by itself.
        edges: pairs of names.

    Raises:
        Fault: what one node gives is not what the next one takes.
    """
    found = dict(known)
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        after[source].append(target)
    for name, (kind, _) in nodes.items():
        if kind == "Input":
            found[name] = (_input_shape(name, nodes, found, after[name]),) * 2
    from_inputs = sorted(nodes, key=lambda name: nodes[name][0] != "Input")  # so that the first fault is named
    waiting = collections.deque(name for name in from_inputs if found[name][1] is not None)
    done: set[str] = set()
    while waiting:
        source = waiting.popleft()
        given = found[source][1]
        if given is None or source in done:
            continue
        done.add(source)
        for target in after[source]:
            taken = found[target][0]
            if nodes[target][0] == "Output" and given in _without_ones(taken or ()):
                found[target] = (given, given)
            elif taken is not None and taken != given:
                hint = _HINT_SPACE if {nodes[source][0], nodes[target][0]} & SPACE.keys() else _HINT
                raise Fault(f"{target}: takes {taken}, but {source} gives {given}", kind="shape", hint=hint)
            if taken is None and nodes[target][0] != GRAPH:
                kind, node = nodes[target]
                found[target] = (given, given_shape(target, kind, node, given))
            waiting.appendleft(target)
    for source, target in edges:  # an Output may have been taken for less than an earlier source gives
        given, taken = found[source][1], found[target][0]
        if nodes[target][0] == "Output" and given is not None and taken != given:
            raise Fault(f"{target}: takes {taken}, but {source} gives {given}", kind="shape", hint=_HINT)
    return found


def _without_ones(shape: Shape) -> list[Shape]:
    """A shape, and what is left of it without one, two, ... leading axes of one; at least one axis is left."""
    ones = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return [shape[axis:] for axis in range(min(ones, len(shape) - 1) + 1)]


def _input_shape(
    name: str, nodes: Mapping[str, tuple[str, Node]], known: Mapping[str, InOut], targets: Sequence[str]
) -> Shape | None:
    """The shape of an Input: as it is stated if all that it feeds can take it, else without leading axes of one."""
    stated = known[name][1]
    if stated is None:
        return None
    shapes = _without_ones(stated)
    return next((shape for shape in shapes if all(_takes(t, *nodes[t], known[t][0], shape) for t in targets)), stated)


def _takes(name: str, kind: str, node: Node, taken: Shape | None, given: Shape) -> bool:
    """Whether a node accepts an input of that shape."""
    if taken is not None:
        return given in _without_ones(taken) if kind == "Output" else given == taken
    if kind != GRAPH:
        try:
            given_shape(name, kind, node, given)
        except Fault:
            return False
    return True


def extents_of(value: Any) -> Shape:
    """A checked shape field as a tuple."""
    return tuple(int(n) for n in value)


def _parameters(node: Node) -> list[str]:
    return [name for name, value in node.items() if isinstance(value, np.ndarray) and name != "w_in"] or ["w_in"]


def _one_shape(where: str, node: Node) -> None:
    """All parameters of a neuron have one shape; only w_in may be one number for all."""
    first, *others = _parameters(node)
    shape = np.shape(node[first])
    for name in others:
        if np.shape(node[name]) != shape:
            raise Fault(
                f"{where}: {name} has the shape {np.shape(node[name])}, {first} has {shape}", kind="shape",
                hint="give every neuron its own value",
            )  # fmt: skip
    if "w_in" in node and np.shape(node["w_in"]) not in ((), shape):
        raise Fault(f"{where}: w_in has the shape {np.shape(node['w_in'])}, {first} has {shape}", kind="shape")


def _bias(where: str, node: Node, wanted: Shape) -> None:
    found = np.shape(node["bias"])
    if found != wanted:
        raise Fault(
            f"{where}: bias has the shape {found}, the weight {np.shape(node['weight'])} needs {wanted}", kind="shape"
        )


def _channels(node: Node) -> int:
    """Input channels of a convolution, all groups together."""
    return int(np.shape(node["weight"])[1]) * int(node["groups"])


def _flattened(where: str, node: Node, taken: Shape) -> Shape:
    """Axes are counted without the batch, from the end if negative."""
    axes = len(taken)
    first, last = int(node["start_dim"]), int(node["end_dim"])
    for name, axis in (("start_dim", first), ("end_dim", last)):
        if not -axes <= axis < axes:
            raise Fault(
                f"{where}: {name} ({axis}) is no axis of {taken}", kind="shape", hint="NIR counts no batch axis"
            )
    first, last = first % axes, last % axes
    if first > last:
        raise Fault(f"{where}: start_dim ({first}) comes after end_dim ({last})", kind="shape")
    return (*taken[:first], math.prod(taken[first : last + 1]), *taken[last + 1 :])


def _slid(where: str, node: Node, space: Shape, kernel: Shape, dilation: Shape) -> Shape:
    """Positions of a window on each axis."""
    stride = extents(node["stride"], len(space))
    padding = node["padding"]
    if isinstance(padding, str) and padding == "same":
        return tuple(-(-size // step) for size, step in zip(space, stride, strict=True))
    pads = (0,) * len(space) if isinstance(padding, str) else extents(padding, len(space))
    found = []
    for size, width, pad, apart, step in zip(space, kernel, pads, dilation, stride, strict=True):
        positions = window_positions(size, kernel=width, stride=step, padding=pad, dilation=apart)
        if positions < 1:
            raise Fault(
                f"{where}: the kernel {kernel} with dilation {dilation} is larger than its padded input"
                f" {tuple(s + 2 * p for s, p in zip(space, pads, strict=True))}",
                kind="shape", hint="make it smaller or pad more",
            )  # fmt: skip
        found.append(positions)
    return tuple(found)
