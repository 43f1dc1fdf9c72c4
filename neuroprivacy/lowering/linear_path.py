"""A path of linear nodes becomes one map, exactly: nothing is rounded here.

A map stays a convolution, with the sum pool before it, as long as that expresses the path: an average pool (k, stride
s) then a convolution is a convolution of sums over windows, times 1/k²; then a linear layer likewise, as a convolution
whose kernel is the whole pooled map. What it cannot express (two linear nodes in a row, a padded pool, a scale that
differs within a channel) is unrolled to a matrix, up to `ir.real.MAX_MATRIX` weights. A path without weights
(neurons to neurons, a pool alone) is a convolution of one weight per channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.graph.metadata import weight_scale
from neuroprivacy.kernels.formats import Float64
from neuroprivacy.kernels.linear import ConvGeometry
from neuroprivacy.lowering.ir.real import RealConnection, RealMap, check_matrix_size, times_rows
from neuroprivacy.lowering.node_maps import Shape, apply_node, conv_options, pool_options, read_as

#: Different delays that one Delay node may hold: as many as a chip has slots.
MAX_DELAYS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unweighted:
    """A path that only scales and pools.

    Attributes:
        scale: factor of each value, (values,).
        pool: geometry of its sum pool; None without a pool.
        weight_scale: quantization step of the factor, (1,), if the graph states one.
    """

    scale: Float64
    pool: ConvGeometry | None = None
    weight_scale: Float64 | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Path:
    """The linear nodes behind a source, as one map.

    Attributes:
        source: shape of the source; likewise `shape` of the output.
        linear: the map.
        delay_s: of the path, seconds.
        last: name of the last node that changed the map.
    """

    source: Shape
    shape: Shape
    linear: RealMap | Unweighted
    delay_s: float = 0.0
    last: str = ""

    @property
    def size(self) -> int:
        """Number of output values."""
        return math.prod(self.shape)

    def connection(self, source: str, *, gain: Float64, model_delay: int) -> RealConnection:
        """The path as a connection: its weights times the gain of each target neuron, (neurons,)."""
        return RealConnection(source=source, map=as_real_map(self).scaled(gain, where=source), model_delay=model_delay)


def paths(nodes: list[tuple[str, Any]], *, shape: Shape) -> list[Path]:
    """The maps along a path of nodes: one, or one for each delay of a Delay node with several.

    Args:
        nodes: between a source and a neuron, by name; linear ones only.
        shape: of the source. The shapes that nir infers are wrong for some convolutions and are not used.

    Raises:
        UnsupportedNode: shapes do not fit, or the unrolled path would be too large.
    """
    found = [Path(source=shape, shape=shape, linear=Unweighted(scale=np.ones(math.prod(shape))))]
    for name, node in nodes:
        if isinstance(node, nir.Delay):
            found = [part for path in found for part in _delayed(name, node, path)]
        else:
            found = [_extended(name, node, path) for path in found]
    return found


def _extended(name: str, node: Any, path: Path) -> Path:
    """A copy of the path with one more node at its end."""
    if isinstance(node, nir.Flatten):
        return replace(path, shape=(path.size,))
    path = replace(path, shape=read_as(name, node, path.shape))
    after: Shape = apply_node(name, node, np.zeros((1, *path.shape)), affine=False).shape[1:]
    if isinstance(node, nir.Scale):
        return _scaled(name, node, path)
    stated = weight_scale(node)
    done = replace(path, shape=after, last=name)
    if isinstance(path.linear, Unweighted):
        linear = _first_map(name, node, path.shape, path.linear, stated)
        if linear is not None:
            return replace(done, linear=linear)
    # The matrix, column by column: the node applied to every unit vector of the source.
    matrix = as_matrix(path, name)
    check_matrix_size(name, math.prod(path.source), math.prod(after))
    columns = apply_node(name, node, matrix.weight.T.reshape(-1, *path.shape), affine=False)
    return replace(done, linear=RealMap(weight=columns.reshape(len(columns), -1).T.copy()))


def _first_map(
    name: str, node: Any, shape: Shape, before: Unweighted, stated: Float64 | None
) -> RealMap | Unweighted | None:
    """A path without weights followed by a node with weights or a pool; None if only a matrix expresses it.

    Args:
        name: of the node.
        node: the node.
        shape: of its input.
        before: the path up to it.
        stated: quantization step of the node's weights, if the graph states one.
    """
    if isinstance(node, nir.Linear | nir.Affine):
        weight = np.asarray(node.weight, np.float64) * before.scale
        stated = stated * before.scale[:1] if stated is not None and not np.ptp(before.scale) else None
        if before.pool is not None:
            weight = weight.reshape(len(weight), *before.pool.pooled_shape)
        return RealMap(weight=weight, conv=before.pool, weight_scale=stated)
    by_channel = _by_channel(before.scale, shape)
    if by_channel is None:
        return None
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        kernel = conv_options(name, node, shape)
        groups, per_group = kernel.groups, kernel.weight.shape[1]
        factor = np.repeat(by_channel.reshape(groups, per_group), len(kernel.weight) // groups, 0)
        stated = stated * by_channel[:1] if stated is not None and not np.ptp(by_channel) else None
        conv = replace(
            before.pool or ConvGeometry(in_shape=kernel.in_shape),
            stride=kernel.stride, padding=kernel.padding, dilation=kernel.dilation, groups=groups,
        )  # fmt: skip
        return RealMap(weight=kernel.weight * factor[:, :, None, None], conv=conv, weight_scale=stated)
    options = pool_options(name, node, shape)
    if before.pool is not None or any(options.padding):
        return None
    pool = ConvGeometry(in_shape=(shape[0], shape[1], shape[2]), pool=options.window, pool_stride=options.stride)
    return Unweighted(scale=np.repeat(by_channel * options.factor, math.prod(pool.pooled_shape[1:])), pool=pool)


def _scaled(name: str, node: Any, path: Path) -> Path:
    """A copy of the path whose result is multiplied by one factor per value."""
    factor = np.broadcast_to(np.asarray(node.scale, np.float64), path.shape).reshape(-1)
    linear = path.linear
    if isinstance(linear, Unweighted):
        stated = weight_scale(node)
        step = stated * linear.scale[:1] if stated is not None and not np.ptp(linear.scale) else None
        return replace(path, linear=replace(linear, scale=linear.scale * factor, weight_scale=step))
    if linear.conv is not None:
        by_channel = _by_channel(factor, path.shape, channels=len(linear.weight))
        if by_channel is None:
            return replace(path, linear=RealMap(weight=times_rows(as_matrix(path, name).weight, factor)))
        factor = by_channel
    scale = None if linear.weight_scale is None or np.ptp(factor) else linear.weight_scale * factor[:1]
    return replace(path, linear=replace(linear, weight=times_rows(linear.weight, factor), weight_scale=scale))


def _by_channel(values: Float64, shape: Shape, *, channels: int | None = None) -> Float64 | None:
    """One value per channel (first axis) if all of a channel's are equal, else None."""
    table = values.reshape(channels or shape[0], -1)
    return None if np.ptp(table, axis=1).any() else table[:, 0]


def _delayed(name: str, node: nir.Delay, path: Path) -> list[Path]:
    """The path behind a Delay node: one part for each delay, which passes only the values of that delay."""
    delays = np.broadcast_to(np.asarray(node.delay, np.float64), path.shape).reshape(-1)
    different = np.unique(delays)
    if len(different) > MAX_DELAYS:
        raise UnsupportedNode(f"{name}: holds {len(different)} different delays, at most {MAX_DELAYS} can be lowered")
    parts = []
    for delay in different:
        mask = nir.Scale(scale=(delays == delay).astype(np.float64).reshape(path.shape))
        part = path if len(different) == 1 else _scaled(name, mask, path)
        parts.append(replace(part, delay_s=path.delay_s + float(delay)))
    return parts


def as_real_map(path: Path) -> RealMap:
    """The map of a path; without weighted nodes one weight per channel, or per value."""
    linear = path.linear
    if isinstance(linear, RealMap):
        return linear
    by_channel = _by_channel(linear.scale, path.shape)
    if linear.pool is not None and (by_channel is None or len(path.shape) != 3):
        return as_matrix(path, path.last)  # a pool whose values differ within a channel, or whose output is flat
    if len(path.shape) == 3 and by_channel is not None:
        channels, height, width = path.shape
        conv = linear.pool or ConvGeometry(in_shape=(channels, height, width))
        weight = by_channel.reshape(-1, 1, 1, 1)
        return RealMap(weight=weight, conv=replace(conv, groups=channels), weight_scale=linear.weight_scale)
    conv = ConvGeometry(in_shape=(path.size, 1, 1), groups=path.size)
    return RealMap(weight=linear.scale.reshape(-1, 1, 1, 1), conv=conv, weight_scale=linear.weight_scale)


def as_matrix(path: Path, where: str) -> RealMap:
    """The map of a path, unrolled to a matrix.

    Raises:
        UnsupportedNode: it would be too large.
    """
    linear = path.linear
    if isinstance(linear, RealMap) and linear.conv is None:
        return linear
    check_matrix_size(where, math.prod(path.source), path.size)
    if isinstance(linear, RealMap):
        return linear.as_matrix(where=where)
    columns = np.eye(math.prod(path.source))
    if linear.pool is not None:
        columns = linear.pool.pooled(columns.reshape(-1, *linear.pool.in_shape))
    return RealMap(weight=columns.reshape(len(columns), -1).T * linear.scale[:, None])
