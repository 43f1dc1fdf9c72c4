"""Weight buffers: what one event adds lies side by side, in the order of the targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.errors import DoesNotFit, Issue
from neuroprivacy.program import ConvMap, DenseMap, Edge
from neuroprivacy_fixedpoint.columns import CONV, DENSE, EDGE, ROW_STEP
from neuroprivacy_fixedpoint.layout import Layout

#: Weights, values and places in the weight buffer are 32-bit integers in the kernels.
LARGEST = 2**31 - 1


class Weights:
    """The weight buffers as they grow."""

    def __init__(self) -> None:
        self.narrow: list[NDArray[np.int8]] = []
        self.wide: list[NDArray[np.int32]] = []
        self.ends = [0, 0]
        self.events = self.work = 0

    def add(self, row: NDArray[np.int64], edge: Edge, source: Layout, target: Layout, *, wide: bool) -> None:
        """Pack an edge and fill in its row."""
        packed = _pack_dense(edge.map, source, target) if isinstance(edge.map, DenseMap) else _pack_conv(edge.map)
        row[EDGE["WEIGHTS"]] = self.ends[wide]
        row[EDGE["LARGEST"]], row[EDGE["DELAY"]] = int(np.abs(packed).max()), edge.delay
        row[EDGE["SOURCE_SIZE"]] = edge.map.in_size
        if wide:
            self.wide.append(packed.astype(np.int32))
        else:
            self.narrow.append(packed.astype(np.int8))
        self.ends[wide] += packed.size
        if self.ends[wide] > LARGEST:  # a convolution that had to become a matrix
            what = "number of weights"
            raise DoesNotFit.of([Issue(where=edge.source, what=what, value=self.ends[wide], limit=LARGEST)])
        self.events = max(self.events, edge.map.in_size)
        self.work += int(edge.map.fan_out().sum())
        if isinstance(edge.map, DenseMap):
            row[EDGE["KIND"]], row[EDGE["REACH"]], row[EDGE["ROW"]] = DENSE, 1, packed.shape[1]
            return
        _describe_conv(row, edge.map)
        channels, rows, columns = edge.map.pooled_shape
        window = edge.map.pool[0] * edge.map.pool[1]
        self.events = max(self.events, channels * rows * columns * window)


def padded_size(linear: DenseMap | ConvMap) -> int:
    """Places of a map's weights in the buffer."""
    if isinstance(linear, ConvMap):
        return int(linear.weight.size)
    return linear.in_size * (len(linear.weight) + _behind(len(linear.weight)))


def _behind(length: int) -> int:
    """Zeros behind a dense row, up to whole vectors."""
    return -length % ROW_STEP


def _pack_dense(linear: DenseMap, source: Layout, target: Layout) -> NDArray[np.generic]:
    """(sources, targets), both channels-last: what one event adds lies side by side, and zeros up to whole vectors."""
    by_target = target.inside(linear.weight.T)
    packed = source.inside(by_target.T).T
    return np.pad(packed, ((0, 0), (0, _behind(packed.shape[1]))))


def _pack_conv(linear: ConvMap) -> NDArray[np.generic]:
    """(source channels, kernel rows, kernel columns backwards, target channels of the group).

    Backwards, because an event reaches the output on its left through the kernel's right column: outputs then ascend.
    """
    grouped = linear.weight.reshape(linear.groups, -1, *linear.weight.shape[1:])
    return np.ascontiguousarray(grouped.transpose(0, 2, 3, 4, 1)[:, :, :, ::-1])


def _describe_conv(row: NDArray[np.int64], linear: ConvMap) -> None:
    """Fill in the columns of a convolution."""
    row[EDGE["KIND"]] = CONV
    row[EDGE["REACH"]] = linear.weight.shape[2] * linear.weight.shape[3]
    row[[EDGE["CHANNELS"], EDGE["HEIGHT"], EDGE["WIDTH"]]] = linear.in_shape
    row[EDGE["POOLED"]] = (linear.pool, linear.pool_stride) != ((1, 1), (1, 1))
    row[[EDGE["POOLED_HEIGHT"], EDGE["POOLED_WIDTH"]]] = linear.pooled_shape[1:]
    row[EDGE["GROUP_IN"]] = linear.weight.shape[1]
    row[EDGE["GROUP_OUT"]] = linear.weight.shape[0] // linear.groups
    row[[EDGE["KERNEL_ROWS"], EDGE["KERNEL_COLUMNS"]]] = linear.weight.shape[2:]
    row[[EDGE["STRIDE_ROWS"], EDGE["STRIDE_COLUMNS"]]] = linear.stride
    row[[EDGE["PAD_ROWS"], EDGE["PAD_COLUMNS"]]] = linear.padding
    row[[EDGE["DILATION_ROWS"], EDGE["DILATION_COLUMNS"]]] = linear.dilation
    row[[EDGE["POOL_ROWS"], EDGE["POOL_COLUMNS"]]] = linear.pool
    row[[EDGE["POOL_STRIDE_ROWS"], EDGE["POOL_STRIDE_COLUMNS"]]] = linear.pool_stride
