"""Linear maps in numpy, and the geometry of convolutions and pools. Integers stay integers.

Convolution is PyTorch's (cross-correlation: the kernel is not flipped).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Number

Pair = tuple[int, int]


def as_pair(value: int | Sequence[int] | NDArray[np.integer]) -> Pair:
    """(rows, columns) from one number or two."""
    row, column = np.broadcast_to(np.asarray(value, np.int64).reshape(-1), 2)
    return int(row), int(column)


def window_positions(size: int, *, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Positions of a window along one axis: floor((n + 2P - D(K-1) - 1)/S) + 1; below 1 where it does not fit."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def dense_apply(weight: NDArray[Number], x: NDArray[Number]) -> NDArray[Number]:
    """W·x: weight (out, in), x (..., in) -> (..., out)."""
    result: NDArray[Number] = x @ weight.T
    return result


def conv_output_shape(height: int, width: int, *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Height and width of a convolution's output; see `window_positions`."""
    rows, columns = (
        window_positions(size, kernel=k, stride=s, padding=p, dilation=d)
        for size, k, s, p, d in zip((height, width), kernel, stride, padding, dilation, strict=True)
    )
    return rows, columns


def pool_output_shape(in_shape: tuple[int, int, int], *, pool: Pair, stride: Pair) -> tuple[int, int, int]:
    """(channels, height, width) after a pool without padding."""
    channels, height, width = in_shape
    return channels, *conv_output_shape(height, width, kernel=pool, stride=stride, padding=(0, 0), dilation=(1, 1))


def conv_patches(x: NDArray[Number], *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> NDArray[Number]:
    """The input patch of each output of a 2-d convolution, as a read-only view.

    Args:
        x: (samples, channels, height, width).
        kernel: rows and columns, likewise `stride`, `padding` (zeros) and `dilation`.

    Returns:
        (samples, channels, kernel rows, kernel columns, rows, columns).
    """
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1])))
    extent = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    windows = sliding_window_view(padded, extent, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    return windows[..., :: dilation[0], :: dilation[1]].transpose(0, 1, 4, 5, 2, 3)


def conv_apply(
    weight: NDArray[Number], x: NDArray[Number], *, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> NDArray[Number]:
    """Grouped 2-d convolution.

    Args:
        weight: (out channels, in channels / groups, kernel rows, kernel columns).
        x: (samples, in channels, height, width).
        stride: rows and columns, likewise `padding` (zeros) and `dilation`.
        groups: channel groups.

    Returns:
        (samples, out channels, rows, columns).
    """
    out_channels, in_per_group, kernel_rows, kernel_columns = weight.shape
    kernel = (kernel_rows, kernel_columns)
    seen = conv_patches(x, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    samples, (rows, columns) = len(x), seen.shape[4:]
    kernels = weight.reshape(groups, out_channels // groups, in_per_group, kernel_rows, kernel_columns)
    # Kernel positions first: matrices that lie dense are multiplied by BLAS where they hold floats.
    by_position = np.ascontiguousarray(kernels.transpose(3, 4, 0, 1, 2))
    total = np.zeros((samples, groups, out_channels // groups, rows * columns), x.dtype)
    for i in range(kernel_rows):
        for j in range(kernel_columns):
            flat = seen[:, :, i, j].reshape(samples, groups, in_per_group, rows * columns)
            total += np.matmul(by_position[i, j], flat)
    return total.reshape(samples, out_channels, rows, columns)


def sum_pool(x: NDArray[Number], *, kernel: Pair, stride: Pair) -> NDArray[Number]:
    """Sum over windows without padding: (samples, channels, height, width) -> (samples, channels, rows, columns)."""
    _, rows, columns = pool_output_shape((x.shape[1], x.shape[2], x.shape[3]), pool=kernel, stride=stride)
    total = np.zeros((*x.shape[:2], rows, columns), x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            total += x[:, :, i : i + stride[0] * rows : stride[0], j : j + stride[1] * columns : stride[1]][
                :, :, :rows, :columns
            ]
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvGeometry:
    """The geometry of a convolution with an optional sum pool before it.

    Attributes:
        in_shape: (channels, height, width) of the source, before the pool.
        stride: rows and columns; likewise `padding` (zeros) and `dilation`.
        groups: channel groups.
        pool: window of the sum pool; (1, 1) for none.
        pool_stride: its stride.
    """

    in_shape: tuple[int, int, int]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pool: Pair = (1, 1)
    pool_stride: Pair = (1, 1)

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) after the sum pool."""
        return pool_output_shape(self.in_shape, pool=self.pool, stride=self.pool_stride)

    @property
    def window(self) -> int:
        """Source values that one value of the pool sums."""
        return self.pool[0] * self.pool[1]

    def pooled(self, images: NDArray[Number]) -> NDArray[Number]:
        """The sum pool of images (samples, *in_shape)."""
        if self.pool == (1, 1) and self.pool_stride == (1, 1):
            return images
        return sum_pool(images, kernel=self.pool, stride=self.pool_stride)

    def convolved(self, weight: NDArray[Number], pooled: NDArray[Number]) -> NDArray[Number]:
        """The convolution of pooled images: (samples, out channels, rows, columns)."""
        return conv_apply(
            weight, pooled, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )
