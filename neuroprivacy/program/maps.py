"""The linear maps of an edge: dense, or a convolution with an optional sum pool before it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.kernels.linear import Pair, conv_output_shape, pool_output_shape
from neuroprivacy.kernels.ranges import sum_bounds

Shape = tuple[int, ...]
_CONV_LENGTHS = {"in_shape": 3, "stride": 2, "padding": 2, "dilation": 2, "pool": 2, "pool_stride": 2}


def frozen(values: object) -> Int64:
    """A read-only int64 copy of an integer array.

    Raises:
        ConfigurationError: the values are not integers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        raise ConfigurationError(f"program: an array holds {array.dtype} where integers are expected")
    copy = np.array(array, np.int64)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseMap:
    """All to all: weight (outputs, inputs), int64. The source is read flattened in C order."""

    weight: Int64

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen(self.weight))
        if self.weight.ndim != 2 or 0 in self.weight.shape:
            raise ConfigurationError(f"dense map: weight shape {self.weight.shape} is not (outputs, inputs)")

    @property
    def in_size(self) -> int:
        """Number of source neurons."""
        return int(self.weight.shape[1])

    @property
    def window(self) -> int:
        """Source values that a pool sums before a weight: 1, for there is no pool."""
        return 1

    @property
    def out_shape(self) -> Shape:
        """Shape of the output."""
        return (int(self.weight.shape[0]),)

    def fan_out(self) -> Int64:
        """Weights that one event of each source neuron touches, (inputs,)."""
        return np.full(self.in_size, self.weight.shape[0], np.int64)

    def bound(self) -> int:
        """An upper bound of |W·x| for |x| <= 1: the largest sum of |w| into one neuron."""
        return int(sum_bounds(self.weight, (-1, 1))[1].max())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConvMap:
    """A convolution, optionally of sums over pooling windows.

    Attributes:
        weight: (out channels, in channels / groups, kernel rows, kernel columns), int64; not flipped (PyTorch's order).
        in_shape: (channels, height, width) of the source, before pooling.
        stride: rows and columns; likewise `padding` (zeros) and `dilation`.
        groups: channel groups.
        pool: window of a sum pool before the convolution; (1, 1) for none.
        pool_stride: its stride.
    """

    weight: Int64
    in_shape: tuple[int, int, int]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pool: Pair = (1, 1)
    pool_stride: Pair = (1, 1)
    out_shape: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen(self.weight))
        for name, length in _CONV_LENGTHS.items():
            value = getattr(self, name)
            if len(value) != length or any(type(number) is not int for number in value):
                raise ConfigurationError(f"conv map: {name} {value} is not {length} integers")
        positive = (*self.in_shape, *self.stride, *self.dilation, self.groups, *self.pool, *self.pool_stride)
        if (
            self.weight.ndim != 4
            or 0 in self.weight.shape
            or min(positive) < 1
            or min(self.padding) < 0
            or type(self.groups) is not int
        ):
            raise ConfigurationError(
                f"conv map: weight shape {self.weight.shape}, input {self.in_shape} or an option is not positive"
            )
        if self.in_shape[0] != self.weight.shape[1] * self.groups or self.weight.shape[0] % self.groups:
            raise ConfigurationError(
                f"conv map: weight shape {self.weight.shape} with {self.groups} groups does not fit "
                f"{self.in_shape[0]} input channels"
            )
        height, width = self.pooled_shape[1:]
        rows, columns = conv_output_shape(
            height,
            width,
            kernel=(self.weight.shape[2], self.weight.shape[3]),
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )
        if rows < 1 or columns < 1:
            raise ConfigurationError(f"conv map: the kernel {self.weight.shape[2:]} is larger than its padded input")
        object.__setattr__(self, "out_shape", (int(self.weight.shape[0]), rows, columns))

    @property
    def in_size(self) -> int:
        """Number of source neurons."""
        return math.prod(self.in_shape)

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) after the sum pool."""
        channels, rows, columns = pool_output_shape(self.in_shape, pool=self.pool, stride=self.pool_stride)
        if rows < 1 or columns < 1:
            raise ConfigurationError(f"conv map: the pool {self.pool} is larger than its input {self.in_shape}")
        return channels, rows, columns

    @property
    def window(self) -> int:
        """Source values that a pool sums before a weight."""
        return self.pool[0] * self.pool[1]

    def axis_paths(self, axis: int) -> Int64:
        """Number of (kernel position, pooling window) pairs between each output and each input of an axis.

        Args:
            axis: 0 for rows, 1 for columns.

        Returns:
            (outputs, inputs).
        """
        return self._axis(axis).paths()

    def _axis(self, axis: int) -> _Axis:
        """The convolution's geometry along one axis."""
        return _Axis(
            size=self.in_shape[axis + 1],
            pooled=self.pooled_shape[axis + 1],
            pool=self.pool[axis],
            pool_stride=self.pool_stride[axis],
            kernel=int(self.weight.shape[axis + 2]),
            stride=self.stride[axis],
            padding=self.padding[axis],
            dilation=self.dilation[axis],
            outputs=self.out_shape[axis + 1],
        )

    def fan_out(self) -> Int64:
        """Weights that one event of each source neuron touches, (channels * height * width,); borders as they are."""
        rows, columns = (_axis_fan_out(self._axis(axis)) for axis in (0, 1))
        per_channel = np.outer(rows, columns) * (self.weight.shape[0] // self.groups)
        return np.broadcast_to(per_channel, self.in_shape).reshape(-1).copy()

    def bound(self) -> int:
        """An upper bound of |W·x| for |x| <= 1: the largest sum of |w| into one neuron, pools full."""
        return int(sum_bounds(self.weight, (-1, 1), window=self.window)[1].max())


LinearMap = DenseMap | ConvMap


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """One axis of a convolution behind a pool: sizes before and after the pool, options, and outputs."""

    size: int
    pooled: int
    pool: int
    pool_stride: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    outputs: int

    def paths(self) -> Int64:
        """See `ConvMap.axis_paths`."""
        paths = np.zeros((self.outputs, self.size), np.int64)
        for output in range(self.outputs):
            for position in range(self.kernel):
                index = output * self.stride + position * self.dilation - self.padding
                if 0 <= index < self.pooled:
                    begin = index * self.pool_stride
                    paths[output, begin : begin + self.pool] += 1
        return paths


@lru_cache(maxsize=4096)
def _axis_fan_out(axis: _Axis) -> Int64:
    """Paths from each input of an axis, (inputs,)."""
    counts = np.asarray(axis.paths().sum(axis=0), np.int64)
    counts.setflags(write=False)  # cached and shared
    return counts
