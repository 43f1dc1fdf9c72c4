"""Independent check of accepted graphs. It shares no code with the reader: shapes are found by computing.

Every node is applied with numpy to zeros of its input shape; a graph whose shapes do not fit cannot be computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_POSITIVE = ("tau", "tau_mem", "tau_syn", "r")


def same_graph(first: Any, second: Any) -> bool:
    """Whether two graphs have equal nodes, values, dtypes, edges and metadata."""
    if type(first) is not type(second):
        return False
    if isinstance(first, nir.NIRNode):
        keys = [key for key in vars(first) if key not in ("input_type", "output_type")]
        if isinstance(first, (nir.Input, nir.Output, nir.Flatten)):
            keys.append("input_type")
        return vars(first).keys() == vars(second).keys() and all(
            same_graph(getattr(first, key), getattr(second, key)) for key in keys
        )
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same_graph(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same_graph, first, second))
    if isinstance(first, (np.ndarray, np.generic)):
        return first.dtype == second.dtype and first.shape == second.shape and bool(np.array_equal(first, second))
    return bool(first == second)


def faults(graph: nir.NIRGraph) -> Iterator[str]:
    """Why an accepted graph should have been refused; nothing if it is good."""
    yield from _value_faults("", graph)
    try:
        _run("", graph)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        yield f"cannot be computed: {error}"


def _value_faults(where: str, value: Any) -> Iterator[str]:
    if isinstance(value, nir.NIRNode):
        for key, below in vars(value).items():
            yield from _value_faults(f"{where}.{key}", below)
            if key in _POSITIVE and np.asarray(below).dtype.kind in "iufb" and not np.all(np.asarray(below) > 0):
                yield f"{where}.{key} is not positive"
        if isinstance(value, nir.Delay) and not np.all(np.asarray(value.delay) >= 0):
            yield f"{where}.delay is negative"
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _value_faults(f"{where}.{key}", below)
    elif isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in "iufb":
            yield f"{where} holds {value.dtype}"
        elif not np.isfinite(value).all():
            yield f"{where} is not finite"
    elif value is not None and not isinstance(value, (str, int, float, list, tuple)):
        yield f"{where} is a {type(value).__name__}"


def _run(where: str, graph: nir.NIRGraph, given: Array | None = None) -> Array | None:
    """Zeros through the graph; what its only output gives.

    Raises:
        ValueError: two shapes do not fit.
    """
    if len(set(graph.edges)) != len(graph.edges):
        raise ValueError(f"{where}: an edge is there twice")
    after: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        _ = graph.nodes[target]
        after[source].append(target)
    values: dict[str, Array] = {}
    waiting: list[str] = []
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Input):
            values[name] = np.zeros(tuple(int(n) for n in node.input_type["input"]))
            waiting.append(name)
    if len(waiting) == 1 and given is not None and given.shape != values[waiting[0]].shape:
        raise ValueError(f"{where}: gets {given.shape}")
    while waiting:
        source = waiting.pop()
        for target in after[source]:
            result = _apply(f"{where}/{target}", graph.nodes[target], values[source])
            if target not in values and result is not None:
                values[target] = result
                waiting.append(target)
            elif result is not None and result.shape != values[target].shape:
                raise ValueError(f"{where}/{target}: gives two shapes")
    outputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
    if not any(name in values for name in outputs):
        raise ValueError(f"{where}: no output is reached")
    return values.get(outputs[0]) if len(outputs) == 1 else None


def _apply(where: str, node: Any, x: Array) -> Array | None:
    """One node on zeros."""
    if isinstance(node, nir.NIRGraph):
        return _run(where, node, x)
    if isinstance(node, (nir.Input, nir.Output)):
        return _of_shape(where, x, tuple(int(n) for n in node.input_type["input"]))
    if isinstance(node, (nir.Linear, nir.Affine)):
        y: Array = (node.weight.astype(float) @ x[..., None])[..., 0]
        _of_shape(where, x, (*node.weight.shape[:-2], node.weight.shape[-1]))
        return y if isinstance(node, nir.Linear) else _of_shape(where, y + node.bias, y.shape)
    if isinstance(node, nir.Flatten):
        axes = list(range(x.ndim))[int(node.start_dim) :]
        last = axes.index(range(x.ndim)[int(node.end_dim)])
        return x.reshape(*x.shape[: axes[0]], -1, *x.shape[axes[0] + last + 1 :])
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        return _convolved(where, node, x)
    if isinstance(node, (nir.AvgPool2d, nir.SumPool2d)):
        kernel = tuple(int(n) for n in np.broadcast_to(node.kernel_size, 2))
        summed: Array = _windows(x, kernel, (1, 1), node.stride, node.padding).sum(axis=(-2, -1))
        return summed
    parameters = [np.asarray(v) for k, v in vars(node).items() if k not in ("input_type", "output_type", "metadata")]
    single = not isinstance(node, (nir.Scale, nir.Delay)) and all(parameter.size == 1 for parameter in parameters)
    for parameter in parameters:
        _of_shape(where, parameter, parameters[0].shape if single else x.shape)
    return x + sum(parameter.reshape(()) if single else parameter for parameter in parameters)


def _convolved(where: str, node: Any, x: Array) -> Array:
    groups, out = int(node.groups), node.weight.shape[0]
    kernel = node.weight.shape[2:]
    if node.input_shape is not None:
        _of_shape(where, x, (x.shape[0], *(int(n) for n in np.broadcast_to(node.input_shape, len(kernel)))))
    windows = _windows(x, kernel, node.dilation, node.stride, node.padding)
    parts = windows.reshape(groups, x.shape[0] // groups, *windows.shape[1:])
    weights = node.weight.reshape(groups, out // groups, *node.weight.shape[1:])
    space = "ab"[: len(kernel)]
    y = np.einsum(f"gi{space}yz,goiyz->go{space}" if len(kernel) == 2 else "giay,goiy->goa", parts, weights)
    y = y.reshape(out, *y.shape[2:])
    if node.bias.shape != (out,):
        raise ValueError(f"{where}: bias has the shape {node.bias.shape}")
    biased: Array = y + node.bias.reshape(-1, *(1,) * len(kernel))
    return biased


def _windows(x: Array, kernel: Any, dilation: Any, stride: Any, padding: Any) -> Array:
    """All positions of a window over the space axes: (channels, *positions, *kernel)."""
    axes = len(kernel)
    if x.ndim != axes + 1:
        raise ValueError(f"{x.shape} has no {axes} axes of space")
    apart, step = np.broadcast_to(dilation, axes), np.broadcast_to(stride, axes)
    span = [int(apart[i]) * (int(kernel[i]) - 1) + 1 for i in range(axes)]
    if isinstance(padding, str):
        pads = [((s - 1) // 2, s // 2) if padding == "same" else (0, 0) for s in span]
    else:
        pads = [(int(p), int(p)) for p in np.broadcast_to(padding, axes)]
    padded = np.pad(x, [(0, 0), *pads])
    seen: Array = np.lib.stride_tricks.sliding_window_view(padded, span, axis=tuple(range(1, axes + 1)))
    picks = [slice(None), *(slice(None, None, int(s)) for s in step), *(slice(None, None, int(a)) for a in apart)]
    return seen[tuple(picks)]


def _of_shape(where: str, x: Array, shape: tuple[int, ...]) -> Array:
    if x.shape != shape:
        raise ValueError(f"{where}: {x.shape} where {shape} belongs")
    return x
