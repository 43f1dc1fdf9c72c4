"""Cases of the linear maps: weights at their ends; orientation, padding, stride, dilation, groups and pools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import ConvMap, Port
from neuroprivacy.testing.case import Case, edge, layer, network


def _dense(name: str, rule: str, *, weight: list[list[int]], x: list[int], v: list[int], high: int = 1) -> Case:
    """One step of input through a dense map; `v` is the membrane in weight units (64 lsb each)."""
    program = network(
        [layer("n", [edge("input", weight)], threshold=131071)],
        inputs=(Port(name="input", shape=(len(x),), high=high),),
    )
    return Case(
        name=name,
        rule=rule,
        program=program,
        spikes=np.array([[x]], np.int64),
        expect_v={"n": [[0] * len(v), [64 * value for value in v]]},
    )


def _conv(name: str, rule: str, *, weight: Int64, image: Int64, expected: Any, high: int = 1, **options: Any) -> Case:
    """One step of an image through a convolution; `expected` is (channels, rows, columns) in weight units."""
    linear = ConvMap(weight=weight, in_shape=image.shape, **options)
    wanted = np.asarray(expected, np.int64)
    program = network(
        [layer("n", [edge("input", linear)], threshold=131071)],
        inputs=(Port(name="input", shape=image.shape, high=high),),
    )
    return Case(
        name=name,
        rule=rule,
        program=program,
        spikes=image[np.newaxis, np.newaxis],
        expect_v={"n": [[0] * wanted.size, (64 * wanted).reshape(-1).tolist()]},
    )


def _pixel(shape: tuple[int, int, int], *places: tuple[int, int, int]) -> Int64:
    image = np.zeros(shape, np.int64)
    for place in places:
        image[place] = 1
    return image


def _flat_layer() -> Case:
    """A population without channels, rows and columns of its own."""
    linear = ConvMap(weight=np.array([[[[1, 2]]], [[[30, 40]]]]), in_shape=(1, 2, 3))
    fed = layer("n", [edge("input", linear)], threshold=131071)
    return Case(
        name="conv_feeds_a_flat_layer",
        rule="a layer's shape only says how its neurons are numbered: C order of the map's output",
        program=network([replace(fed, shape=(8,))], inputs=(Port(name="input", shape=(1, 2, 3)),)),
        spikes=_pixel((1, 2, 3), (0, 0, 1), (0, 1, 2))[np.newaxis, np.newaxis],
        expect_v={"n": [[0] * 8, [64 * value for value in (2, 1, 0, 2, 40, 30, 0, 40)]]},
    )


def _two_convolutions() -> Case:
    """A join of convolutions whose outputs have one size and two shapes."""
    tall = ConvMap(weight=np.array([[[[1], [2]]]]), in_shape=(1, 2, 2))
    deep = ConvMap(weight=np.array([[[[10, 0], [0, 0]]], [[[0, 20], [0, 40]]]]), in_shape=(1, 2, 2))
    return Case(
        name="convs_of_two_shapes_join",
        rule="a = sum over edges, neuron by neuron in C order",
        program=network(
            [layer("n", [edge("input", tall), edge("input", deep)], threshold=131071)],
            inputs=(Port(name="input", shape=(1, 2, 2)),),
        ),
        spikes=_pixel((1, 2, 2), (0, 0, 0), (0, 1, 1))[np.newaxis, np.newaxis],
        expect_v={"n": [[0, 0], [64 * 11, 64 * 42]]},
    )


_NINE = np.arange(1, 10).reshape(1, 1, 3, 3)


def map_cases() -> tuple[Case, ...]:
    """The cases that test linear maps."""
    return (
        _dense(
            "dense_mixed_signs_keep_odd_weights", "int8 weights -128 ... 127, whatever the signs",
            weight=[[-127, 1, 127], [-1, -3, 5]], x=[1, 1, 1], v=[1, 1],
        ),
        _dense(
            "dense_extreme_weights", "both ends of int8",
            weight=[[-128, 127], [127, -128]], x=[1, 0], v=[-128, 127],
        ),
        _dense(
            "dense_excitatory_odd_weights", "an all-positive matrix keeps its odd weights too",
            weight=[[1, 127], [3, 5]], x=[1, 1], v=[128, 8],
        ),
        _dense(
            "dense_inhibitory_odd_weights", "an all-negative matrix keeps its odd weights too",
            weight=[[-1, -127], [-3, -5]], x=[1, 1], v=[-128, -8],
        ),
        _dense(
            "dense_graded_input", "graded values multiply the weight",
            weight=[[3, -7]], x=[5, 2], v=[1], high=255,
        ),
        _dense(
            "dense_reads_rows", "y = W x: rows are targets",
            weight=[[1, 2, 3], [4, 5, 6]], x=[0, 1, 0], v=[2, 5],
        ),
        _conv(
            "conv_is_not_flipped", "PyTorch's orientation: y[r, c] = sum w[i, j] x[r + i, c + j]",
            weight=_NINE, image=_pixel((1, 3, 3), (0, 0, 1)), expected=[[[2]]],
        ),
        _conv(
            "conv_pads_with_zeros", "padding on both sides, rows before columns",
            weight=_NINE, image=_pixel((1, 3, 3), (0, 0, 1)), padding=(1, 1),
            expected=[[[6, 5, 4], [3, 2, 1], [0, 0, 0]]],
        ),
        _conv(
            "conv_pads_axes_apart", "row padding and column padding differ",
            weight=_NINE, image=_pixel((1, 3, 4), (0, 1, 1)), padding=(1, 0),
            expected=[[[8, 7], [5, 4], [2, 1]]],
        ),
        _conv(
            "conv_strides_axes_apart", "row stride and column stride differ",
            weight=np.array([[[[1, 2], [3, 4]]]]), image=np.arange(24).reshape(1, 4, 6) % 2, stride=(2, 3),
            expected=[[[6, 4], [6, 4]]],
        ),
        _conv(
            "conv_dilates", "kernel positions are dilation steps apart",
            weight=np.array([[[[1, 10], [100, 27]]]]), image=_pixel((1, 3, 3), (0, 2, 0), (0, 2, 2), (0, 1, 1)),
            dilation=(2, 2), expected=[[[127]]],
        ),
        _conv(
            "conv_dilates_axes_apart", "row dilation and column dilation differ",
            weight=np.array([[[[1, 10], [100, 27]]]]), image=_pixel((1, 2, 4), (0, 0, 2), (0, 1, 0), (0, 1, 3)),
            dilation=(1, 2), expected=[[[110, 27]]],
        ),
        _conv(
            "conv_takes_non_square_kernels", "kernel rows and columns differ",
            weight=np.array([[[[1, 2, 3]]]]), image=_pixel((1, 2, 4), (0, 0, 2), (0, 1, 0)),
            expected=[[[3, 2], [1, 0]]],
        ),
        _conv(
            "conv_sums_channels", "input channels add, output channels keep their order",
            weight=np.array([[[[1]], [[10]]], [[[20]], [[-3]]], [[[7]], [[0]]]]),
            image=_pixel((2, 1, 2), (0, 0, 0), (1, 0, 0), (1, 0, 1)),
            expected=[[[11, 10]], [[17, -3]], [[7, 0]]],
        ),
        _conv(
            "conv_groups_stay_apart", "grouped convolution: output channel o reads the channels of its group",
            weight=np.array([[[[1]]], [[[2]]], [[[3]]], [[[4]]]]), groups=2,
            image=_pixel((2, 1, 2), (0, 0, 0), (1, 0, 1)),
            expected=[[[1, 0]], [[2, 0]], [[0, 3]], [[0, 4]]],
        ),
        _conv(
            "conv_groups_read_neighbouring_channels", "group g reads the g-th block of input channels",
            weight=np.array([[[[1]], [[10]]], [[[100]], [[-7]]]]), groups=2,
            image=_pixel((4, 1, 1), (1, 0, 0), (3, 0, 0)), expected=[[[10]], [[-7]]],
        ),
        _conv(
            "sum_pool_comes_before_the_kernel", "sum pool, then convolution: the same integers as the folded kernel",
            weight=np.array([[[[1, 5]]]]), image=_pixel((1, 2, 4), (0, 0, 0), (0, 1, 1), (0, 1, 2)),
            pool=(2, 2), pool_stride=(2, 2), expected=[[[7]]],
        ),
        _conv(
            "sum_pool_windows_may_overlap", "a pool whose stride is smaller than its window counts events twice",
            weight=np.array([[[[1, 10, 100]]]]), image=_pixel((1, 1, 4), (0, 0, 1), (0, 0, 3)),
            pool=(1, 2), pool_stride=(1, 1), expected=[[[111]]],
        ),
        _conv(
            "sum_pool_takes_axes_apart", "window and stride of rows and columns differ",
            weight=np.array([[[[5]]]]), pool=(2, 1), pool_stride=(1, 2),
            image=_pixel((1, 3, 5), (0, 0, 0), (0, 1, 0), (0, 1, 2), (0, 2, 4), (0, 0, 1), (0, 2, 3)),
            expected=[[[10, 5, 0], [5, 5, 5]]],
        ),
        _conv(
            "sum_pool_drops_what_does_not_fill_a_window", "a border that fills no window is not read",
            weight=np.array([[[[3]]]]), image=np.ones((1, 3, 3), np.int64),
            pool=(2, 2), pool_stride=(2, 2), expected=[[[12]]],
        ),
        _flat_layer(),
        _two_convolutions(),
        _conv(
            "conv_graded_input", "graded values multiply the kernel",
            weight=np.array([[[[2, -1]]]]), image=np.array([[[7, 200, 3]]]), high=255, expected=[[[-186, 397]]],
        ),
    )  # fmt: skip
