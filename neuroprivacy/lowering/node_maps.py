"""Linear NIR nodes in float64: options of convolutions and pools, and the node applied to values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.kernels import conv_apply, conv_output_shape, sum_pool
from neuroprivacy.kernels.formats import Float64
from neuroprivacy.kernels.linear import Pair, as_pair

Shape = tuple[int, ...]
#: Nodes with weights, and all linear nodes.
WEIGHTED = (nir.Linear, nir.Affine, nir.Conv1d, nir.Conv2d)
LINEAR = (*WEIGHTED, nir.Scale, nir.AvgPool2d, nir.SumPool2d, nir.Flatten, nir.Delay)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolOptions:
    """A pool: window, stride, padding with zeros, and the factor of its sums (1/k² of an average)."""

    window: Pair
    stride: Pair
    padding: Pair
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConvOptions:
    """A convolution in 2-d; a 1-d one has a height of 1."""

    weight: Float64
    in_shape: tuple[int, int, int]
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


def pool_options(name: str, node: Any, shape: Shape) -> PoolOptions:
    """The options of a pool that reads `shape`.

    Raises:
        UnsupportedNode: the source is no map, or smaller than the window.
    """
    window, stride, padding = as_pair(node.kernel_size), as_pair(node.stride), as_pair(node.padding)
    if len(shape) != 3:
        raise UnsupportedNode(f"{name}: a pool reads (channels, height, width), its source has shape {shape}")
    if any(size + 2 * pad < length for size, pad, length in zip(shape[1:], padding, window, strict=True)):
        raise UnsupportedNode(f"{name}: the pool {window} is larger than its input {shape}; make it smaller")
    factor = 1 / math.prod(window) if isinstance(node, nir.AvgPool2d) else 1.0
    return PoolOptions(window=window, stride=stride, padding=padding, factor=factor)


def conv_options(name: str, node: Any, shape: Shape) -> ConvOptions:
    """The options of a convolution that reads `shape`; uneven `same` padding becomes a zero row of the kernel.

    Raises:
        UnsupportedNode: its channels or its kernel do not fit the source.
    """
    weight = np.asarray(node.weight, np.float64)
    flat = isinstance(node, nir.Conv1d)
    wanted = "(channels, length)" if flat else "(channels, height, width)"
    if len(shape) != (2 if flat else 3):
        raise UnsupportedNode(f"{name}: a convolution reads {wanted}, its source has shape {shape}")
    if flat:
        weight = weight[:, :, None, :]
    channels, height, width = (shape[0], 1, shape[1]) if flat else (shape[0], shape[1], shape[2])
    groups = int(np.asarray(node.groups))
    if channels != weight.shape[1] * groups or weight.shape[0] % groups:
        raise UnsupportedNode(f"{name}: reads {weight.shape[1] * groups} channels, its source has {channels}")
    along = [as_pair(getattr(node, name)) for name in ("stride", "dilation")]
    stride, dilation = ((1, value[1]) if flat else value for value in along)
    if isinstance(node.padding, str):
        weight, padding, dilation = _string_padding(node.padding, weight, dilation)
    else:
        padding = (0, as_pair(node.padding)[1]) if flat else as_pair(node.padding)
    kernel = (weight.shape[2], weight.shape[3])
    rows, columns = conv_output_shape(height, width, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    if rows < 1 or columns < 1:
        raise UnsupportedNode(f"{name}: the kernel {kernel} is larger than its padded input {shape}")
    return ConvOptions(
        weight=weight, in_shape=(channels, height, width), stride=stride, padding=padding, dilation=dilation,
        groups=groups,
    )  # fmt: skip


def _string_padding(padding: str, weight: Float64, dilation: Pair) -> tuple[Float64, Pair, Pair]:
    """Kernel, padding and dilation for `valid` and `same`; PyTorch pads the odd row of `same` at the end."""
    if padding == "valid":
        return weight, (0, 0), dilation
    total = [dilation[i] * (weight.shape[2 + i] - 1) for i in (0, 1)]
    if not any(t % 2 for t in total):
        return weight, (total[0] // 2, total[1] // 2), dilation
    # Write the dilation out, then put a zero before the kernel: the same sums with equal padding on both sides.
    spread = np.zeros((*weight.shape[:2], total[0] + 1, total[1] + 1))
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    front = [t % 2 for t in total]
    wide = np.pad(spread, ((0, 0), (0, 0), (front[0], 0), (front[1], 0)))
    return wide, ((total[0] + 1) // 2, (total[1] + 1) // 2), (1, 1)


def read_as(name: str, node: Any, shape: Shape) -> Shape:
    """The shape in which a node reads its input: a convolution reads a flat source in the shape that it states."""
    if isinstance(node, nir.Conv2d) and len(shape) == 1 and node.input_shape is not None:
        return _refold(name, shape, (int(node.weight.shape[1] * node.groups), *as_pair(node.input_shape)))
    if isinstance(node, nir.Conv1d) and len(shape) == 1 and node.input_shape is not None:
        length = int(np.asarray(node.input_shape, np.int64).reshape(-1)[-1])
        return _refold(name, shape, (int(node.weight.shape[1] * node.groups), length))
    if isinstance(node, nir.Linear | nir.Affine):
        return (math.prod(shape),)
    return shape


def _refold(name: str, shape: Shape, wanted: Shape) -> Shape:
    if math.prod(wanted) != math.prod(shape):
        raise UnsupportedNode(f"{name}: reads {wanted}, its source has {math.prod(shape)} values")
    return wanted


def apply_node(name: str, node: Any, x: Float64, *, affine: bool) -> Float64:
    """The output of a linear node for x (samples, *shape): (samples, *output shape); with its bias if `affine`.

    Raises:
        UnsupportedNode: the shape does not fit the node.
    """
    shape: Shape = x.shape[1:]
    if isinstance(node, nir.Scale):
        if np.broadcast_shapes(np.shape(node.scale), shape) != shape:
            raise UnsupportedNode(f"{name}: scales shape {np.shape(node.scale)}, its source has shape {shape}")
        return x * np.asarray(node.scale, np.float64)
    if isinstance(node, nir.Linear | nir.Affine):
        weight = np.asarray(node.weight, np.float64)
        if weight.ndim != 2 or weight.shape[1] != math.prod(shape):
            raise UnsupportedNode(f"{name}: weights of shape {weight.shape} do not fit a source of shape {shape}")
        result = x.reshape(len(x), -1) @ weight.T
        return (
            result + np.asarray(node.bias, np.float64).reshape(-1)
            if affine and isinstance(node, nir.Affine)
            else result
        )
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        pool = pool_options(name, node, shape)
        padded = np.pad(x, ((0, 0), (0, 0), (pool.padding[0],) * 2, (pool.padding[1],) * 2))
        return sum_pool(padded, kernel=pool.window, stride=pool.stride) * pool.factor
    options = conv_options(name, node, shape)
    result = conv_apply(
        options.weight, x.reshape(len(x), *options.in_shape), stride=options.stride, padding=options.padding,
        dilation=options.dilation, groups=options.groups,
    )  # fmt: skip
    if affine:
        result = result + np.asarray(node.bias, np.float64).reshape(-1, 1, 1)
    return result[:, :, 0] if isinstance(node, nir.Conv1d) else result
