"""A path of nodes becomes one map: pools are folded into the linear node behind them, their 1/k² into the weights.

Average pool (k, stride s) then convolution is a convolution of sums over windows, times 1/k²; then a linear layer
likewise, as a convolution whose kernel is the whole pooled map. No value is rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from neuroprivacy.errors import UnsupportedNode
from neuroprivacy.kernels import conv_output_shape
from neuroprivacy.lower.draft import ConvShape, DraftEdge, Float64

LINEAR = (nir.Linear, nir.Affine, nir.Conv2d)
POOLS = (nir.AvgPool2d, nir.SumPool2d)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folded:
    """One map: the linear node's name, weight, a convolution's options, the targets' biases, and their shape."""

    name: str
    weight: Float64
    conv: ConvShape | None
    bias: Float64
    shape: tuple[int, ...]

    @property
    def out_size(self) -> int:
        """Number of target neurons."""
        return len(self.bias)

    def edge(self, source: str, *, gain: Float64, scale: float) -> DraftEdge:
        """The map as an edge, its weights times the neurons' input gain and the source's unit.

        Raises:
            UnsupportedNode: the gain differs within a convolution's channel.
        """
        if self.conv is None:
            return DraftEdge(source=source, weight=self.weight * gain[:, None] * scale)
        by_channel = gain.reshape(self.weight.shape[0], -1)
        if np.ptp(by_channel, axis=1).any():
            raise UnsupportedNode(
                f"{source}: the input gain differs between neurons of one channel; use one per channel"
            )
        return DraftEdge(source=source, weight=self.weight * by_channel[:, :1, None, None] * scale, conv=self.conv)


def fold_path(path: list[tuple[str, Any]], *, where: str, shape: tuple[int, ...]) -> Folded:
    """One map from the nodes between a source and a neuron.

    Args:
        path: the nodes, by name.
        where: what the path leads to.
        shape: of the source. Shapes that nir infers are not used: it is wrong about some convolutions.

    Raises:
        UnsupportedNode: the path holds no linear node, more than one, or a pool that nothing linear follows.
    """
    linear = [(name, node) for name, node in path if isinstance(node, LINEAR)]
    if not linear:
        name = path[-1][0] if path else where
        raise UnsupportedNode(f"{name}: no linear layer leads from here to the next neurons; add one")
    if len(linear) > 1:
        raise UnsupportedNode(
            f"{linear[1][0]}: follows the linear layer {linear[0][0]} without neurons between; multiply them into one"
        )
    name, node = linear[0]
    place = path.index((name, node))
    pools = [(n, p) for n, p in path if isinstance(p, POOLS)]
    if any(path.index(entry) > place for entry in pools):
        raise UnsupportedNode(f"{pools[-1][0]}: a pool must be followed by a linear layer, not by neurons")
    if len(pools) > 1:
        raise UnsupportedNode(f"{pools[1][0]}: follows another pool; make them one")
    pool = _pool_options(*pools[0], shape) if pools else None
    if isinstance(node, nir.Conv2d):
        return _conv(name, node, pool, shape)
    return _dense(name, node, pool)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """A pool: window, stride, what its sums are multiplied by, and the shapes before and after it."""

    window: tuple[int, int]
    stride: tuple[int, int]
    factor: float
    before: tuple[int, int, int]
    after: tuple[int, int, int]


def _pool_options(name: str, node: Any, shape: tuple[int, ...]) -> _Pool:
    """A pool of a source of that shape."""
    window, stride = _pair(node.kernel_size), _pair(node.stride)
    if any(_pair(node.padding)):
        raise UnsupportedNode(f"{name}: a padded pool cannot be folded; pad the convolution instead")
    if len(shape) != 3:
        raise UnsupportedNode(f"{name}: a pool reads (channels, height, width), its source has shape {shape}")
    rows, columns = ((shape[i + 1] - window[i]) // stride[i] + 1 for i in (0, 1))
    if rows < 1 or columns < 1:
        raise UnsupportedNode(f"{name}: the pool {window} is larger than its input {shape}; make it smaller")
    factor = 1 / math.prod(window) if isinstance(node, nir.AvgPool2d) else 1.0
    return _Pool(
        window=window,
        stride=stride,
        factor=factor,
        before=(shape[0], shape[1], shape[2]),
        after=(shape[0], rows, columns),
    )


def _conv(name: str, node: Any, pool: _Pool | None, source: tuple[int, ...]) -> Folded:
    """A convolution, with the pool before it."""
    weight = np.asarray(node.weight, np.float64)
    channels = weight.shape[1] * int(node.groups)
    seen = _conv_input(name, node, channels, pool.after if pool else source)
    stride, dilation = _pair(node.stride), _pair(node.dilation)
    if isinstance(node.padding, str):
        padding = (0, 0) if node.padding == "valid" else _same(name, weight.shape[2:], dilation)
    else:
        padding = _pair(node.padding)
    rows, columns = conv_output_shape(
        seen[1],
        seen[2],
        kernel=(weight.shape[2], weight.shape[3]),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    if rows < 1 or columns < 1:
        raise UnsupportedNode(f"{name}: the kernel {weight.shape[2:]} is larger than its padded input {seen}")
    conv = ConvShape(
        in_shape=pool.before if pool else seen,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=int(node.groups),
        pool=pool.window if pool else (1, 1),
        pool_stride=pool.stride if pool else (1, 1),
    )
    bias = np.repeat(np.asarray(node.bias, np.float64).reshape(-1), rows * columns)
    return Folded(
        name=name,
        weight=weight * (pool.factor if pool else 1.0),
        conv=conv,
        bias=bias,
        shape=(int(weight.shape[0]), rows, columns),
    )


def _conv_input(name: str, node: Any, channels: int, source: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) that a convolution reads; a flat source is read in the shape that the node states."""
    if len(source) == 3:
        seen = (source[0], source[1], source[2])
    elif node.input_shape is not None:
        height, width = _pair(node.input_shape)
        seen = (channels, height, width)
    else:
        raise UnsupportedNode(f"{name}: a convolution reads (channels, height, width), its source has shape {source}")
    if seen[0] != channels:
        raise UnsupportedNode(f"{name}: reads {channels} channels, its source has {seen[0]}")
    return seen


def _dense(name: str, node: Any, pool: _Pool | None) -> Folded:
    """A linear layer; after a pool it is a convolution over the whole pooled map."""
    weight = np.asarray(node.weight, np.float64)
    bias = np.asarray(node.bias, np.float64).reshape(-1) if isinstance(node, nir.Affine) else np.zeros(len(weight))
    if pool is None:
        return Folded(name=name, weight=weight, conv=None, bias=bias, shape=(len(weight),))
    if weight.shape[1] != math.prod(pool.after):
        raise UnsupportedNode(f"{name}: {weight.shape[1]} inputs do not fit the pool before it")
    conv = ConvShape(in_shape=pool.before, pool=pool.window, pool_stride=pool.stride)
    kernel = weight.reshape(len(weight), *pool.after) * pool.factor
    return Folded(name=name, weight=kernel, conv=conv, bias=bias, shape=(len(weight),))


def _pair(value: Any) -> tuple[int, int]:
    row, column = np.broadcast_to(np.asarray(value), 2)
    return int(row), int(column)


def _same(name: str, kernel: tuple[int, ...], dilation: tuple[int, int]) -> tuple[int, int]:
    """Padding that keeps the size, where it is the same on both sides."""
    total = [dilation[i] * (kernel[i] - 1) for i in (0, 1)]
    if any(t % 2 for t in total):
        raise UnsupportedNode(f"{name}: 'same' padding of an even kernel is not the same on both sides")
    return total[0] // 2, total[1] // 2
