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
from neuroprivacy.lower.draft import ConvShape, DraftEdge, Float64

LINEAR = (nir.Linear, nir.Affine, nir.Conv2d)
POOLS = (nir.AvgPool2d, nir.SumPool2d)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folded:
    """One map: weight, a convolution's options, and the bias of each target neuron."""

    weight: Float64
    conv: ConvShape | None
    bias: Float64

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
            raise UnsupportedNode(f"{source}: the input gain differs between neurons of one channel; use one per channel")
        return DraftEdge(source=source, weight=self.weight * by_channel[:, :1, None, None] * scale, conv=self.conv)


def fold_path(path: list[tuple[str, Any]], *, where: str) -> Folded:
    """One map from the nodes between a source and a neuron.

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
    pool = pools[0] if pools else None
    if isinstance(node, nir.Conv2d):
        return _conv(name, node, pool)
    return _dense(name, node, pool)


def _pool_options(pool: tuple[str, Any]) -> tuple[tuple[int, int], tuple[int, int], float, tuple[int, ...]]:
    """(window, stride, factor, input shape) of a pool."""
    name, node = pool
    window, stride, padding = (
        tuple(int(v) for v in np.broadcast_to(np.asarray(getattr(node, field)), 2))
        for field in ("kernel_size", "stride", "padding")
    )
    if any(padding):
        raise UnsupportedNode(f"{name}: a padded pool cannot be folded; pad the convolution instead")
    factor = 1 / math.prod(window) if isinstance(node, nir.AvgPool2d) else 1.0
    shape = tuple(int(n) for n in np.atleast_1d(next(iter(node.input_type.values()))))
    return (window[0], window[1]), (stride[0], stride[1]), factor, shape


def _conv(name: str, node: Any, pool: tuple[str, Any] | None) -> Folded:
    """A convolution, with the pool before it."""
    weight = np.asarray(node.weight, np.float64)
    height, width = (int(n) for n in node.input_shape)
    channels = weight.shape[1] * int(node.groups)
    stride, dilation = (_pair(getattr(node, field)) for field in ("stride", "dilation"))
    if isinstance(node.padding, str):
        padding = (0, 0) if node.padding == "valid" else _same(name, weight.shape[2:], dilation)
    else:
        padding = _pair(node.padding)
    shape: tuple[int, int, int] = (channels, height, width)
    window = pool_stride = (1, 1)
    if pool is not None:
        window, pool_stride, factor, before = _pool_options(pool)
        weight = weight * factor
        shape = (before[0], before[1], before[2])
    conv = ConvShape(
        in_shape=shape, stride=stride, padding=padding, dilation=dilation, groups=int(node.groups),
        pool=window, pool_stride=pool_stride,
    )  # fmt: skip
    rows, columns = (
        (size + 2 * padding[i] - dilation[i] * (weight.shape[i + 2] - 1) - 1) // stride[i] + 1
        for i, size in enumerate((height, width))
    )
    bias = np.repeat(np.asarray(node.bias, np.float64).reshape(-1), rows * columns)
    return Folded(weight=weight, conv=conv, bias=bias)


def _dense(name: str, node: Any, pool: tuple[str, Any] | None) -> Folded:
    """A linear layer; after a pool it is a convolution over the whole pooled map."""
    weight = np.asarray(node.weight, np.float64)
    bias = np.asarray(node.bias, np.float64).reshape(-1) if isinstance(node, nir.Affine) else np.zeros(len(weight))
    if pool is None:
        return Folded(weight=weight, conv=None, bias=bias)
    window, pool_stride, factor, shape = _pool_options(pool)
    rows, columns = ((shape[i + 1] - window[i]) // pool_stride[i] + 1 for i in (0, 1))
    if weight.shape[1] != shape[0] * rows * columns:
        raise UnsupportedNode(f"{name}: {weight.shape[1]} inputs do not fit the pool before it")
    kernel = weight.reshape(len(weight), shape[0], rows, columns) * factor
    conv = ConvShape(in_shape=(shape[0], shape[1], shape[2]), pool=window, pool_stride=pool_stride)
    return Folded(weight=kernel, conv=conv, bias=bias)


def _pair(value: Any) -> tuple[int, int]:
    row, column = np.broadcast_to(np.asarray(value), 2)
    return int(row), int(column)


def _same(name: str, kernel: tuple[int, ...], dilation: tuple[int, int]) -> tuple[int, int]:
    """Padding that keeps the size, where it is the same on both sides."""
    total = [dilation[i] * (kernel[i] - 1) for i in (0, 1)]
    if any(t % 2 for t in total):
        raise UnsupportedNode(f"{name}: 'same' padding of an even kernel is not the same on both sides")
    return total[0] // 2, total[1] // 2
