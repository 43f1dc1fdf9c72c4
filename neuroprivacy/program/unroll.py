"""A linear map unrolled to one sparse matrix, for Lava's `Sparse` and as an oracle of the tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program.maps import ConvMap, LinearMap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Triplets:
    """A sparse matrix as (row, column, value), all int64 of one length; repeated pairs add."""

    rows: Int64
    columns: Int64
    values: Int64
    shape: tuple[int, int]


def unroll(linear: LinearMap) -> Triplets:
    """The matrix of a map: rows are target neurons, columns are source neurons, both in C order."""
    if not isinstance(linear, ConvMap):
        rows, columns = np.nonzero(linear.weight)
        return Triplets(
            rows=rows.astype(np.int64),
            columns=columns.astype(np.int64),
            values=linear.weight[rows, columns],
            shape=(int(linear.weight.shape[0]), linear.in_size),
        )
    out_channels, rows_out, columns_out = linear.out_shape
    _, height, width = linear.in_shape
    _, pooled_rows, pooled_columns = linear.pooled_shape
    out_per_group = out_channels // linear.groups
    o, c, i, j = (index.astype(np.int64) for index in np.nonzero(linear.weight))
    values = linear.weight[o, c, i, j]
    channel = c + (o // out_per_group) * linear.weight.shape[1]
    found: list[tuple[Int64, Int64, Int64]] = []
    for y in range(rows_out):
        for x in range(columns_out):
            row = y * linear.stride[0] + i * linear.dilation[0] - linear.padding[0]
            column = x * linear.stride[1] + j * linear.dilation[1] - linear.padding[1]
            inside = (row >= 0) & (row < pooled_rows) & (column >= 0) & (column < pooled_columns)
            target = (o * rows_out + y) * columns_out + x
            for a in range(linear.pool[0]):
                for b in range(linear.pool[1]):
                    source_row = row * linear.pool_stride[0] + a
                    source_column = column * linear.pool_stride[1] + b
                    source = (channel * height + source_row) * width + source_column
                    found.append((target[inside], source[inside], values[inside]))
    joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return Triplets(
        rows=joined[0], columns=joined[1], values=joined[2],
        shape=(out_channels * rows_out * columns_out, linear.in_size),
    )  # fmt: skip
