"""What nodes take and give, against torch, and what is refused where they do not fit."""

import warnings
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neuroprivacy.graph.fault import Fault
from neuroprivacy.graph.shapes import check_edges, given_shape, node_output_shape, own_shapes

SMALL = st.integers(1, 4)


@given(st.data(), st.sampled_from([1, 2]))
def test_convolutions_as_torch(data: st.DataObject, axes: int) -> None:
    def pair(values: Any) -> tuple[int, ...]:
        return tuple(data.draw(values) for _ in range(axes))

    kernel, stride, dilation, groups = pair(SMALL), pair(SMALL), pair(st.integers(1, 3)), data.draw(SMALL)
    space, inputs, outputs = pair(st.integers(1, 12)), groups * data.draw(SMALL), groups * data.draw(SMALL)
    padding = data.draw(st.sampled_from(["valid", "same", pair(st.integers(0, 3))]))
    if padding == "same":
        stride = (1,) * axes  # torch has no other
    module = (nn.Conv1d, nn.Conv2d)[axes - 1](inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)  # type: ignore[operator]
    node = {
        "weight": module.weight.detach().numpy(), "stride": np.array(stride), "dilation": np.array(dilation),
        "groups": np.array(groups), "padding": padding if isinstance(padding, str) else np.array(padding),
        "input_shape": np.array(space),
    }  # fmt: skip
    kind = f"Conv{axes}d"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch pads even kernels on one side only, and says so
            expected = tuple(module(torch.zeros(1, inputs, *space)).shape[1:])
    except RuntimeError:
        with pytest.raises(Fault, match=r"c: the kernel .* is larger than its padded input"):
            own_shapes("c", kind, node)
        return
    assert own_shapes("c", kind, node) == ((inputs, *space), expected)
    assert given_shape("c", kind, node, (inputs, *space)) == expected


@given(st.data(), st.sampled_from(["AvgPool2d", "SumPool2d"]))
def test_pools_as_torch(data: st.DataObject, kind: str) -> None:
    kernel, stride = (tuple(data.draw(SMALL) for _ in range(2)) for _ in range(2))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    shape = (data.draw(SMALL), data.draw(st.integers(4, 9)), data.draw(st.integers(4, 9)))
    node = {"kernel_size": np.array(kernel), "stride": np.array(stride), "padding": np.array(padding)}
    expected = nn.AvgPool2d(kernel, stride, padding)(torch.zeros(1, *shape)).shape[1:]
    assert given_shape("p", kind, node, shape) == tuple(expected)


@given(st.lists(SMALL, min_size=1, max_size=4), st.data())
def test_flatten_as_torch(extents: list[int], data: st.DataObject) -> None:
    axes = len(extents)
    first, last = data.draw(st.integers(-axes, axes - 1)), data.draw(st.integers(-axes, axes - 1))
    node = {"start_dim": np.array(first), "end_dim": np.array(last)}
    if first % axes > last % axes:
        with pytest.raises(Fault, match=r"f: start_dim \(\d\) comes after end_dim"):
            given_shape("f", "Flatten", node, tuple(extents))
        return
    expected = torch.zeros(extents).flatten(first, last).shape
    assert given_shape("f", "Flatten", node, tuple(extents)) == tuple(expected)


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_is_not_there(axis: int) -> None:
    node = {"start_dim": np.array(axis), "end_dim": np.array(-1)}
    with pytest.raises(Fault, match=rf"f: start_dim \({axis}\) is no axis of \(2, 3\)"):
        given_shape("f", "Flatten", node, (2, 3))


def test_linear_over_further_axes() -> None:
    node = {"weight": np.ones((7, 3, 2)), "bias": np.zeros((7, 3))}
    assert own_shapes("a", "Affine", node) == ((7, 2), (7, 3))


def test_an_output_that_is_too_large() -> None:
    node = {"kernel_size": np.array(1), "stride": np.array(1), "padding": np.array(2**20)}
    with pytest.raises(Fault, match=r"p: gives \(1, 2097153, 2097153\), more than"):
        given_shape("p", "SumPool2d", node, (1, 1, 1))


POOL = ("AvgPool2d", {"kernel_size": np.array(2), "stride": np.array(2), "padding": np.array(0)})
LAYER = ("Scale", {"scale": np.ones((2, 4, 4))})
INPUT = ("Input", {"shape": np.array([2, 8, 8])})


def carried(nodes: dict[str, Any], edges: list[tuple[str, str]]) -> dict[str, Any]:
    return check_edges(nodes, {name: own_shapes(name, *node) for name, node in nodes.items()}, edges)


def test_shapes_are_carried_through_nodes_that_do_not_state_theirs() -> None:
    found = carried({"a": POOL, "b": POOL, "in": INPUT}, [("in", "b"), ("b", "a")])
    assert found == {"in": ((2, 8, 8), (2, 8, 8)), "b": ((2, 8, 8), (2, 4, 4)), "a": ((2, 4, 4), (2, 2, 2))}


def test_a_cycle_ends() -> None:
    found = carried({"in": INPUT, "p": POOL, "l": LAYER, "k": LAYER},
                    [("in", "p"), ("p", "l"), ("l", "k"), ("k", "l")])  # fmt: skip
    assert found["l"] == ((2, 4, 4), (2, 4, 4))
    with pytest.raises(Fault, match=r"p: takes \(2, 8, 8\), but p gives \(2, 4, 4\)"):
        carried({"in": INPUT, "p": POOL}, [("in", "p"), ("p", "p")])


def test_nothing_is_known_where_no_input_reaches() -> None:
    assert carried({"p": POOL, "q": POOL}, [("p", "q")]) == {"p": (None, None), "q": (None, None)}


def test_two_ways_into_one_node_agree() -> None:
    edges = [("in", "p"), ("in", "q"), ("p", "l"), ("q", "l")]
    assert carried({"in": INPUT, "p": POOL, "q": POOL, "l": LAYER}, edges)["l"][0] == (2, 4, 4)
    wide = ("SumPool2d", {**POOL[1], "kernel_size": np.array([1, 2]), "stride": np.array([1, 2])})
    with pytest.raises(Fault, match=r"l: takes \(2, 4, 4\), but q gives \(2, 8, 4\)") as caught:
        carried({"in": INPUT, "p": POOL, "q": wide, "l": LAYER}, edges)
    assert "kernels that are not square" in caught.value.hint


def test_nodes_of_nir_have_the_shapes_of_their_fields() -> None:
    """nir's own types, as lowering has them, and their fields, as a file has them: one rule."""
    weight = np.zeros((6, 2, 3, 2))
    conv = nir.Conv2d(
        input_shape=None, weight=weight, stride=np.array([2, 1]), padding=np.array([1, 0]), dilation=np.array([1, 2]),
        groups=1, bias=np.zeros(6),
    )  # fmt: skip
    assert node_output_shape("c", conv, (2, 7, 9)) == (6, 4, 7)
    pool = nir.SumPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0]))
    assert node_output_shape("p", pool, (6, 4, 7)) == (6, 2, 3)
    assert node_output_shape("l", nir.Linear(weight=np.zeros((5, 36))), (36,)) == (5,)
    with pytest.raises(Fault, match=r"c: takes 2 channels and gets 3"):
        node_output_shape("c", conv, (3, 7, 9))
