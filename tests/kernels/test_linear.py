"""Linear maps against torch's convolution, and against plain sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from neuroprivacy.kernels import conv_apply, conv_output_shape, dense_apply, sum_pool
from neuroprivacy.kernels.linear import ConvGeometry, as_pair, pool_output_shape, window_positions

PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))
PADDING = st.tuples(st.integers(0, 2), st.integers(0, 2))


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, shape)


@pytest.mark.slow
@given(
    seed=st.integers(0, 1000),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    kernel=PAIR,
    stride=PAIR,
    padding=PADDING,
    dilation=PAIR,
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
@settings(max_examples=200)
def test_convolution_is_pytorchs(
    seed: int,
    groups: int,
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
) -> None:
    import torch

    rows, columns = conv_output_shape(*size, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    if min(rows, columns) < 1:
        return
    weight = numbers((groups * channels[1], channels[0], *kernel), seed)
    x = numbers((2, groups * channels[0], *size), seed + 1)
    found = conv_apply(weight, x, stride=stride, padding=padding, dilation=dilation, groups=groups)
    expected = torch.nn.functional.conv2d(
        torch.tensor(x, dtype=torch.float64),
        torch.tensor(weight, dtype=torch.float64),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    assert found.shape == (2, groups * channels[1], rows, columns)
    assert np.array_equal(found, expected.numpy().astype(np.int64))


@given(
    seed=st.integers(0, 1000),
    kernel=PAIR,
    stride=PAIR,
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
)
def test_sum_pool_sums_windows(
    seed: int, kernel: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]
) -> None:
    x = numbers((2, 3, *size), seed)
    windows = sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    assert np.array_equal(sum_pool(x, kernel=kernel, stride=stride), windows.sum(axis=(4, 5)))


@pytest.mark.slow
@given(
    seed=st.integers(0, 1000),
    pool=st.integers(1, 3),
    pool_stride=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
)
def test_a_pool_before_a_kernel_is_a_larger_kernel(
    seed: int, pool: int, pool_stride: int, kernel: int, stride: int
) -> None:
    """Kernel (K-1)·s + k, stride s·S: what SEMANTICS.md says of average pooling, for whole-number sums."""
    x = numbers((1, 2, 13, 13), seed)
    weight = numbers((3, 2, kernel, kernel), seed + 1)
    plain = {"padding": (0, 0), "dilation": (1, 1), "groups": 1}
    pooled = sum_pool(x, kernel=(pool, pool), stride=(pool_stride, pool_stride))
    after = conv_apply(weight, pooled, stride=(stride, stride), **plain)  # type: ignore[arg-type]
    size = (kernel - 1) * pool_stride + pool
    folded = np.zeros((3, 2, size, size), np.int64)
    for i in range(kernel):
        for j in range(kernel):
            top, left = i * pool_stride, j * pool_stride
            folded[:, :, top : top + pool, left : left + pool] += weight[:, :, i : i + 1, j : j + 1]
    total = pool_stride * stride
    at_once = conv_apply(folded, x, stride=(total, total), **plain)  # type: ignore[arg-type]
    assert np.array_equal(after, at_once[:, :, : after.shape[2], : after.shape[3]])
    assert at_once.shape == after.shape


def test_dense_is_w_times_x() -> None:
    assert dense_apply(np.array([[1, 2, 3], [4, 5, 6]]), np.array([[1, 0, 2], [0, 1, 0]])).tolist() == [
        [7, 16],
        [2, 5],
    ]


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}, (5, 7)),
        ({"kernel": (3, 2), "stride": (2, 3), "padding": (0, 1), "dilation": (2, 1)}, (1, 3)),
        ({"kernel": (6, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}, (0, 7)),
    ],
)
def test_output_shapes(options: dict[str, tuple[int, int]], shape: tuple[int, int]) -> None:
    assert conv_output_shape(5, 7, **options) == shape


@given(
    size=st.integers(1, 12), kernel=st.integers(1, 4), stride=st.integers(1, 3), padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
)  # fmt: skip
def test_window_positions_are_those_that_fit(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    reached = dilation * (kernel - 1) + 1
    fitting = len(range(0, size + 2 * padding - reached + 1, stride))
    found = window_positions(size, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    assert max(found, 0) == fitting


@pytest.mark.parametrize("value", [3, np.int64(3), np.array(3), np.array([3]), (3, 3), np.array([3, 3])])
def test_a_pair_is_one_number_or_two(value: object) -> None:
    assert as_pair(value) == (3, 3)  # type: ignore[arg-type]


@given(seed=st.integers(0, 1000), pool=PAIR, pool_stride=PAIR, padding=PADDING)
def test_a_geometry_computes_pool_and_convolution(
    seed: int, pool: tuple[int, int], pool_stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    geometry = ConvGeometry(in_shape=(2, 7, 8), pool=pool, pool_stride=pool_stride, padding=padding)
    assert geometry.pooled_shape == pool_output_shape((2, 7, 8), pool=pool, stride=pool_stride)
    assert geometry.window == pool[0] * pool[1]
    x, weight = numbers((3, 2, 7, 8), seed), numbers((4, 2, 1, 2), seed + 1)
    pooled = geometry.pooled(x)
    assert pooled.shape[1:] == geometry.pooled_shape
    np.testing.assert_array_equal(pooled, sum_pool(x, kernel=pool, stride=pool_stride))
    expected = conv_apply(weight, pooled, stride=(1, 1), padding=padding, dilation=(1, 1), groups=1)
    np.testing.assert_array_equal(geometry.convolved(weight, pooled), expected)
