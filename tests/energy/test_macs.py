"""MACs of the ANN against written-out matrices and numbers computed by hand."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprivacy.energy import ann_macs, layer_macs
from neuroprivacy.energy.macs import map_macs
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, Port, Program, unroll
from neuroprivacy.targets.spec import load_target


def neurons(name: str, shape: tuple[int, ...], *edges: Edge) -> Layer:
    size = int(np.prod(shape))
    zeros = np.zeros(size, np.int64)
    one = np.ones(1, np.int64)
    return Layer(
        name=name, shape=shape, edges=edges, threshold=one, du=one * 4095, dv=one * 0,
        bias_mantissa=zeros, bias_exponent=0, v_init=zeros, reset="hard",
    )  # fmt: skip


def network(port: Port, *layers: Layer, **options: object) -> Program:
    program = Program(
        target=load_target("int8"), inputs=(port,), layers=layers, outputs=(layers[-1].name,),
        readout="spike_count", latency=0,
    )  # fmt: skip
    return replace(program, **options)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int64)


def test_by_hand() -> None:
    # 5x5 image, 3x3 kernel, padding 1: 9 positions of 9 weights, 12 of 6, 4 of 4 = 81 + 72 + 16.
    conv = ConvMap(weight=ones(4, 2, 3, 3), in_shape=(2, 5, 5), padding=(1, 1))
    assert map_macs(conv) == 169 * 4 * 2
    # The ANN convolves the pooled 2x2 map: each of its 4 outputs sees 4 values inside the border.
    pooled = ConvMap(weight=ones(3, 2, 3, 3), in_shape=(2, 4, 4), padding=(1, 1), pool=(2, 2), pool_stride=(2, 2))
    assert map_macs(pooled) == 4 * 4 * 3 * 2
    assert map_macs(DenseMap(weight=ones(7, 11))) == 77


@st.composite
def convolutions(draw: st.DrawFn) -> ConvMap:
    number = st.integers
    groups, per_group, outs = draw(number(1, 2)), draw(number(1, 2)), draw(number(1, 2))
    return ConvMap(
        weight=ones(groups * outs, per_group, draw(number(1, 3)), draw(number(1, 3))),
        in_shape=(groups * per_group, draw(number(10, 12)), draw(number(10, 12))),
        stride=(draw(number(1, 3)), draw(number(1, 3))),
        padding=(draw(number(0, 2)), draw(number(0, 2))),
        dilation=(draw(number(1, 2)), draw(number(1, 2))),
        groups=groups,
        pool=(draw(number(1, 2)), 1),
        pool_stride=(draw(number(1, 2)), 1),
    )


@given(convolutions())
@settings(max_examples=40, deadline=None)
def test_macs_are_the_entries_of_the_matrix_on_the_pooled_map(conv: ConvMap) -> None:
    plain = ConvMap(
        weight=conv.weight, in_shape=conv.pooled_shape, stride=conv.stride, padding=conv.padding,
        dilation=conv.dilation, groups=conv.groups,
    )  # fmt: skip
    assert map_macs(conv) == len(unroll(plain).values)


def test_recurrent_edges_are_no_macs() -> None:
    port = Port(name="input", shape=(3,))
    first = neurons(
        "first", (4,),
        Edge(source="input", map=DenseMap(weight=ones(4, 3)), delay=0),
        Edge(source="first", map=DenseMap(weight=ones(4, 4)), delay=1),
        Edge(source="last", map=DenseMap(weight=ones(4, 2)), delay=1),
    )  # fmt: skip
    last = neurons(
        "last", (2,),
        Edge(source="first", map=DenseMap(weight=ones(2, 4)), delay=0),
        Edge(source="input", map=DenseMap(weight=ones(2, 3)), delay=0),
    )  # fmt: skip
    program = network(port, first, last)
    assert layer_macs(program) == {"first": 12, "last": 8 + 6}
    assert ann_macs(program) == 26


def test_signed_input_split_in_two_channels_is_charged_once() -> None:
    port = Port(name="input", shape=(6,))
    layer = neurons("fc", (4,), Edge(source="input", map=DenseMap(weight=ones(4, 6)), delay=0))
    assert ann_macs(network(port, layer)) == 24
    assert ann_macs(network(port, layer, encoder={"coding": "poisson"})) == 24
    assert ann_macs(network(port, layer, encoder={"coding": "poisson-signed"})) == 12
