"""A path of linear nodes becomes one map, exactly: nothing is rounded here.

A map stays a convolution, with the sum pool before it, as long as that expresses the path: an average pool (k, stride
s) then a convolution is a convolution of sums over windows, times 1/k²; then a linear layer likewise, as a convolution
whose kernel is the whole pooled map. What it cannot express (two linear nodes in a row, a padded pool, a scale that
differs within a channel) is multiplied out into a matrix, up to `draft.MAX_MATRIX` weights. A path without weights
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
from neuroprivacy.lowering.draft import ConvShape, DraftEdge, Shape, must_be_small
from neuroprivacy.lowering.node_maps import apply_node, conv_options, pool_options, read_as

#: Different delays that one Delay node may hold: as many as a chip has slots.
MAX_DELAYS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Path:
    """What leads from a source to where the path has come, as one map.

    Attributes:
        source: shape of the source; likewise `shape` of what the path gives.
        delay_s: of the path, seconds.
        weight: matrix or kernel as in `DraftEdge`; None while the path only scales, pools and delays.
        conv: of a kernel, or the pool of a path without weights yet.
        scale: of each value, while there are no weights, (values,).
        grid: unit on which the weights already lie, (1,) or (out channels,); None if they lie on none.
        last: name of the node that gave the weights.
    """

    source: Shape
    shape: Shape
    delay_s: float = 0.0
    weight: Float64 | None = None
    conv: ConvShape | None = None
    scale: Float64
    grid: Float64 | None = None
    last: str = ""

    @property
    def size(self) -> int:
        """Number of values that the path gives."""
        return math.prod(self.shape)

    def edge(self, source: str, *, gain: Float64) -> DraftEdge:
        """The path as an edge: its weights times the gain of each target, (targets,)."""
        done = finish(self)
        if done.weight is None:
            raise AssertionError("unreachable: a finished path has weights")
        return DraftEdge(source=source, weight=done.weight, conv=done.conv, grid=done.grid).scaled(gain)


def paths(nodes: list[tuple[str, Any]], *, shape: Shape) -> list[Path]:
    """The maps along a path of nodes: one, or one for each delay where a Delay node holds several.

    Args:
        nodes: between a source and a neuron, by name; linear ones only.
        shape: of the source. Shapes that nir infers are not used: it is wrong about some convolutions.

    Raises:
        UnsupportedNode: shapes do not fit, or the path would have to be multiplied out into too large a matrix.
    """
    size = math.prod(shape)
    found = [Path(source=shape, shape=shape, scale=np.ones(size))]
    for name, node in nodes:
        if isinstance(node, nir.Delay):
            found = [part for path in found for part in _delayed(name, node, path)]
        else:
            found = [_step(name, node, path) for path in found]
    return found


def _step(name: str, node: Any, path: Path) -> Path:
    """The path with one more node."""
    if isinstance(node, nir.Flatten):
        return replace(path, shape=(path.size,))
    path = replace(path, shape=read_as(name, node, path.shape))
    after: Shape = apply_node(name, node, np.zeros((1, *path.shape)), affine=False).shape[1:]
    if isinstance(node, nir.Scale):
        return _scaled(name, node, path)
    simple = path.weight is None
    grid = weight_scale(node)
    done = replace(path, shape=after, last=name, grid=None)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        options = pool_options(name, node, path.shape)
        by_channel = _by_channel(path.scale, path.shape) if simple and path.conv is None else None
        if by_channel is not None and not any(options.padding):
            before = (path.shape[0], path.shape[1], path.shape[2])
            conv = ConvShape(in_shape=before, pool=options.window, pool_stride=options.stride)
            values = np.repeat(by_channel * options.factor, math.prod(after[1:]))
            return replace(done, conv=conv, scale=values)
    elif isinstance(node, nir.Linear | nir.Affine) and simple:
        weight = np.asarray(node.weight, np.float64) * path.scale
        grid = grid * path.scale[:1] if grid is not None and not np.ptp(path.scale) else None
        if path.conv is None:
            return replace(done, weight=weight, grid=grid)
        return replace(done, weight=weight.reshape(len(weight), *path.conv.pooled_shape), grid=grid)
    elif isinstance(node, nir.Conv1d | nir.Conv2d) and simple:
        by_channel = _by_channel(path.scale, path.shape)
        if by_channel is not None:
            kernel = conv_options(name, node, path.shape)
            groups, per_group = kernel.groups, kernel.weight.shape[1]
            factor = np.repeat(by_channel.reshape(groups, per_group), len(kernel.weight) // groups, 0)
            grid = grid * by_channel[:1] if grid is not None and not np.ptp(by_channel) else None
            conv = replace(
                path.conv or ConvShape(in_shape=kernel.in_shape),
                stride=kernel.stride, padding=kernel.padding, dilation=kernel.dilation, groups=groups,
            )  # fmt: skip
            return replace(done, weight=kernel.weight * factor[:, :, None, None], conv=conv, grid=grid)
    # The matrix, column by column: what the node makes of every source value by itself.
    matrix = as_matrix(path, name)
    if matrix.weight is None:
        raise AssertionError("unreachable: a matrix has weights")
    must_be_small(name, math.prod(path.source), math.prod(after))
    columns = apply_node(name, node, matrix.weight.T.reshape(-1, *path.shape), affine=False)
    return replace(done, weight=columns.reshape(len(columns), -1).T.copy(), conv=None)


def _scaled(name: str, node: Any, path: Path) -> Path:
    """The path times a factor for each value."""
    factor = np.broadcast_to(np.asarray(node.scale, np.float64), path.shape).reshape(-1)
    if path.weight is None:
        return replace(path, scale=path.scale * factor)
    if path.conv is not None:
        by_channel = _by_channel(factor, path.shape, channels=len(path.weight))
        if by_channel is None:
            matrix = as_matrix(path, name)
            return replace(matrix, weight=_rows(matrix.weight, factor), grid=None)
        factor = by_channel
    grid = None if path.grid is None or np.ptp(factor) else path.grid * factor[:1]
    return replace(path, weight=_rows(path.weight, factor), grid=grid)


def _rows(weight: Float64 | None, factor: Float64) -> Float64:
    """The rows of a matrix, or the kernels of a convolution, times a factor each."""
    if weight is None:
        raise AssertionError("unreachable: only a path with weights has rows")
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))


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


def finish(path: Path) -> Path:
    """The path with weights: one per channel, or per value, where it had none."""
    if path.weight is not None:
        return path
    by_channel = _by_channel(path.scale, path.shape)
    if path.conv is not None and (by_channel is None or len(path.shape) != 3):
        return as_matrix(path, path.last)  # a pool whose channels differ, or are no longer told apart
    if len(path.shape) == 3 and by_channel is not None:
        channels, height, width = path.shape
        conv = path.conv or ConvShape(in_shape=(channels, height, width))
        return replace(path, weight=by_channel.reshape(-1, 1, 1, 1), conv=replace(conv, groups=channels))
    conv = ConvShape(in_shape=(path.size, 1, 1), groups=path.size)
    return replace(path, weight=path.scale.reshape(-1, 1, 1, 1), conv=conv)


def as_matrix(path: Path, where: str) -> Path:
    """The path multiplied out: its weight is a matrix.

    Raises:
        UnsupportedNode: it would be too large.
    """
    if path.weight is not None and path.conv is None:
        return path
    must_be_small(where, math.prod(path.source), path.size)
    if path.weight is not None:
        edge = DraftEdge(source=where, weight=path.weight, conv=path.conv, grid=path.grid).as_matrix()
        return replace(path, weight=edge.weight, conv=None, grid=edge.grid)
    columns = np.eye(math.prod(path.source))
    if path.conv is not None:
        columns = path.conv.pooled(columns.reshape(-1, *path.conv.in_shape))
    return replace(path, weight=columns.reshape(len(columns), -1).T * path.scale[:, None], conv=None)
