"""Linear maps as plain loops over kernel positions: what a synapse table computes. Integers stay integers.

Convolution here is what PyTorch calls convolution (cross-correlation: the kernel is not flipped).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Pair = tuple[int, int]
Number = TypeVar("Number", np.int64, np.float64)


def dense_apply(weight: NDArray[Number], x: NDArray[Number]) -> NDArray[Number]:
    """W·x: weight (out, in), x (..., in) -> (..., out)."""
    result: NDArray[Number] = x @ weight.T
    return result


def conv_output_shape(height: int, width: int, *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Height and width of a convolution's output: floor((n + 2P - D(K-1) - 1)/S) + 1 per axis."""
    rows = (height + 2 * padding[0] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    columns = (width + 2 * padding[1] - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    return rows, columns


def conv_patches(x: NDArray[Number], *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> NDArray[Number]:
    """What each output of a 2-d convolution sees, as a read-only view.

    Args:
        x: (samples, channels, height, width).
        kernel: rows and columns, likewise `stride`, `padding` (zeros) and `dilation`.

    Returns:
        (samples, channels, kernel rows, kernel columns, rows, columns).
    """
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1])))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    windows = sliding_window_view(padded, reach, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
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
    rows, columns = conv_output_shape(
        x.shape[2], x.shape[3], kernel=kernel, stride=stride, padding=(0, 0), dilation=(1, 1)
    )
    total = np.zeros((*x.shape[:2], rows, columns), x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            total += x[:, :, i : i + stride[0] * rows : stride[0], j : j + stride[1] * columns : stride[1]][
                :, :, :rows, :columns
            ]
    return total
