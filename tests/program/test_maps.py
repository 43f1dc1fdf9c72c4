"""A map, its matrix and its fan-out say the same."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.program import ConvMap, DenseMap, LinearMap, unroll
from neuroprivacy.runtime.reference import apply_map

PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


ANY = st.integers(-128, 127)


@st.composite
def convolutions(draw: st.DrawFn, *, weights: st.SearchStrategy[int] = ANY) -> ConvMap:
    groups, inside, outside = (draw(st.integers(1, 2)) for _ in range(3))
    kernel = draw(PAIR)
    count = groups * outside * inside * kernel[0] * kernel[1]
    weight = np.array(draw(st.lists(weights, min_size=count, max_size=count)))
    try:
        return ConvMap(
            weight=weight.reshape(groups * outside, inside, *kernel),
            in_shape=(groups * inside, draw(st.integers(1, 6)), draw(st.integers(1, 6))),
            stride=draw(PAIR),
            padding=draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
            dilation=draw(PAIR),
            groups=groups,
            pool=draw(PAIR),
            pool_stride=draw(PAIR),
        )
    except ConfigurationError:
        assume(False)
        raise


def matrix(linear: LinearMap) -> np.ndarray:
    triplets = unroll(linear)
    full = np.zeros(triplets.shape, np.int64)
    np.add.at(full, (triplets.rows, triplets.columns), triplets.values)
    return full


@pytest.mark.slow
@given(linear=convolutions(), seed=st.integers(0, 100))
def test_the_matrix_computes_what_the_map_computes(linear: ConvMap, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-5, 6, (3, linear.in_size))
    assert np.array_equal(apply_map(linear, x), x @ matrix(linear).T)


@pytest.mark.slow
@given(linear=convolutions(weights=st.integers(1, 127)))
def test_fan_out_counts_the_touched_weights(linear: ConvMap) -> None:
    """No weight is zero here, so each triplet is one touched weight; overlapping windows count twice."""
    touched = np.bincount(unroll(linear).columns, minlength=linear.in_size)
    assert linear.fan_out().tolist() == touched.tolist()


@pytest.mark.slow
@given(linear=convolutions(weights=st.just(0)))
def test_a_weight_of_zero_is_touched_all_the_same(linear: ConvMap) -> None:
    assert unroll(linear).values.size == 0
    ones = replace(linear, weight=np.ones_like(linear.weight))
    assert linear.fan_out().tolist() == ones.fan_out().tolist()


def test_fan_out_of_overlapping_windows_by_hand() -> None:
    """Windows [0 1] [1 2] [2 3] under a kernel of two: outputs read windows 0, 1 and 1, 2."""
    linear = ConvMap(weight=np.ones((1, 1, 1, 2), int), in_shape=(1, 1, 4), pool=(1, 2), pool_stride=(1, 1))
    assert linear.pooled_shape == (1, 1, 3)
    assert linear.fan_out().tolist() == [1, 3, 3, 1]


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 5)])
def test_dense(shape: tuple[int, int]) -> None:
    weight = np.random.default_rng(0).integers(-3, 4, shape)
    linear = DenseMap(weight=weight)
    assert np.array_equal(matrix(linear), weight)
    assert linear.fan_out().tolist() == [shape[0]] * shape[1]
    assert (linear.in_size, linear.out_shape) == (shape[1], (shape[0],))
