"""Weight buffers: the weights of one event are contiguous, in the order of its targets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import DoesNotFit, Issue
from neuroprivacy.kernels.ranges import event_limit
from neuroprivacy.program import ConvMap, DenseMap, Edge
from neuroprivacy_fixedpoint.aligned import LINE
from neuroprivacy_fixedpoint.columns import CONV, DENSE, LARGEST, ROW_STEP, TILE
from neuroprivacy_fixedpoint.layout import Layout

#: Coincident events per position from which on a sum in registers is faster than scattering each event: measured on
#: kernels of 1 x 1 to 7 x 7, 1 to 512 channels and rates of 0.5 to 50 %, where 3 to 6 break even.
_COINCIDENT = 5


class Weights:
    """Collects the weights of all edges in two arrays: narrow (8 bits) and wide (32 bits)."""

    def __init__(self) -> None:
        self.narrow: list[NDArray[np.int8]] = []
        self.wide: list[NDArray[np.int32]] = []
        self.ends = [0, 0]
        self.events = self.work = self.most_coincident = 0

    def add(self, row: np.void, edge: Edge, source: Layout, target: Layout, *, wide: bool, tiled: bool) -> None:
        """Pack the weights of an edge and fill in its record."""
        window = edge.map.window
        if isinstance(edge.map, DenseMap):
            packed = _pack_dense(edge.map, source, target, TILE if tiled else ROW_STEP)
            if tiled:
                packed = _pack_tiles(packed)
        else:
            packed = _pack_conv(edge.map)
        row["weights"] = self._place(packed, edge, wide=wide)
        row["delay"], row["source_size"], row["max_events"] = edge.delay, edge.map.in_size, LARGEST
        if not wide:
            row["max_events"] = event_limit(edge.map.weight.reshape(len(edge.map.weight), -1), window)
        self.events = max(self.events, edge.map.in_size)
        self.work += int(edge.map.fan_out().sum())
        if isinstance(edge.map, DenseMap):
            row["kind"], row["taps"], row["row_length"] = DENSE, 1, packed.shape[-1]
            return
        _describe_conv(row, edge.map)
        channels, rows, columns = edge.map.pooled_shape
        self.events = max(self.events, channels * rows * columns * window)
        tile = 0 if wide or row["graded"] or edge.map.groups > 1 else _tile_of(len(edge.map.weight))
        if tile:
            self.most_coincident = max(self.most_coincident, channels * window * int(row["taps"]))
            row["tile"], row["density_threshold"] = tile, _density_threshold(edge.map)
            row["tile_weights"] = self._place(_pack_conv_tiles(edge.map, tile), edge, wide=False)

    def _place(self, packed: NDArray[np.generic], edge: Edge, *, wide: bool) -> int:
        """Append weights to an array and return their offset."""
        begin = self.ends[wide]
        behind = -packed.size % LINE  # the next begin where a line does
        flat = np.pad(packed.reshape(-1), (0, behind))
        if wide:
            self.wide.append(flat.astype(np.int32))
        else:
            self.narrow.append(flat.astype(np.int8))
        self.ends[wide] += flat.size
        if self.ends[wide] > LARGEST:  # a convolution that had to become a matrix
            what = "number of weights"
            raise DoesNotFit.of([Issue(where=edge.source, what=what, value=self.ends[wide], limit=LARGEST)])
        return begin


def padded_size(linear: DenseMap | ConvMap) -> int:
    """The most buffer entries that the weights of a map take."""
    if isinstance(linear, ConvMap):
        return int(2 * linear.weight.size + len(linear.weight))
    return (linear.in_size + 1) * -(-len(linear.weight) // TILE) * TILE


def _pack_dense(linear: DenseMap, source: Layout, target: Layout, step: int) -> NDArray[np.generic]:
    """(sources, targets), both channels-last: padded with zeros to a multiple of `step`."""
    by_target = target.inside(linear.weight.T)
    packed = source.inside(by_target.T).T
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % step)))


def _pack_tiles(packed: NDArray[np.generic]) -> NDArray[np.generic]:
    """(sources, targets) -> (tiles, sources + 1, TILE): weights of a tile are contiguous, then a row of zeros."""
    return np.pad(packed.reshape(len(packed), -1, TILE).swapaxes(0, 1), ((0, 0), (0, 1), (0, 0)))


def _pack_conv(linear: ConvMap) -> NDArray[np.generic]:
    """(source channels, kernel rows, kernel columns backwards, target channels of the group).

    Columns are reversed so that the outputs of one event ascend.
    """
    grouped = linear.weight.reshape(linear.groups, -1, *linear.weight.shape[1:])
    return np.ascontiguousarray(grouped.transpose(0, 2, 3, 4, 1)[:, :, :, ::-1])


def _tile_of(channels: int) -> int:
    """Channels of a tile; 0 if no tile width divides them."""
    return next((tile for tile in (64, 32, 16) if channels % tile == 0), 0)


def _density_threshold(linear: ConvMap) -> int:
    """The density threshold: active source values that give _COINCIDENT events per position on average."""
    _, rows, columns = linear.out_shape
    apart = math.prod(linear.stride) * math.prod(linear.pool_stride)
    return math.ceil(_COINCIDENT * rows * columns * apart / math.prod((*linear.weight.shape[2:], *linear.pool)))


def _pack_conv_tiles(linear: ConvMap, tile: int) -> NDArray[np.generic]:
    """(tiles, kernel rows · kernel columns · source channels + 1, tile): all weights of a tile, zeros behind them."""
    taps = linear.weight.transpose(2, 3, 1, 0).reshape(-1, len(linear.weight) // tile, tile).swapaxes(0, 1)
    return np.pad(taps, ((0, 0), (0, 1), (0, 0)))


def _describe_conv(row: np.void, linear: ConvMap) -> None:
    """Fill in the geometry of a convolution."""
    row["kind"] = CONV
    row["taps"] = linear.weight.shape[2] * linear.weight.shape[3]
    row["row_length"] = row["taps"] * (linear.weight.shape[0] // linear.groups)
    row["channels"], row["height"], row["width"] = linear.in_shape
    row["pooled"] = (linear.pool, linear.pool_stride) != ((1, 1), (1, 1))
    row["pooled_height"], row["pooled_width"] = linear.pooled_shape[1:]
    row["group_in"] = linear.weight.shape[1]
    row["group_out"] = linear.weight.shape[0] // linear.groups
    row["kernel_rows"], row["kernel_columns"] = linear.weight.shape[2:]
    row["stride_rows"], row["stride_columns"] = linear.stride
    row["pad_rows"], row["pad_columns"] = linear.padding
    row["dilation_rows"], row["dilation_columns"] = linear.dilation
    row["pool_rows"], row["pool_columns"] = linear.pool
    row["pool_stride_rows"], row["pool_stride_columns"] = linear.pool_stride
