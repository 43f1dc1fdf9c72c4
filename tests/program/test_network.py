"""A Program that exists is legal: structure and ranges, each fault with its sentence."""

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError, OutOfRange
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, Port, Program
from neuroprivacy.testing.case import edge, layer, network


def neuron(name: str = "n", source: str = "input", **constants: Any) -> Layer:
    return layer(name, [edge(source, [[5]])], **{"threshold": 3, **constants})


def changed(**fields: Any) -> Program:
    return replace(network([neuron()]), **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": (neuron("input"),), "outputs": ("input",)},
         "input: the name stands for more than one port or layer"),
        ({"inputs": ()}, "program: has no input, no layer or no output"),
        ({"outputs": ()}, "program: has no input, no layer or no output"),
        ({"outputs": ("x",)}, "x: is named as an output and is no layer"),
        ({"outputs": ("input",)}, "input: is named as an output and is no layer"),
        ({"latency": -1}, r"program: latency is negative \(-1\)"),
        ({"layers": (neuron(source="x"),)}, "n from x: the source does not exist"),
        ({"inputs": (Port(name="input", shape=(2,)),)},
         "n from input: a map of 1 to 1 cannot join 2 to 1 neurons"),
        ({"layers": (replace(neuron(), shape=(2,)),)},
         "n from input: a map of 1 to 1 cannot join 1 to 2 neurons"),
        ({"layers": (replace(neuron(), edges=()),)}, "n: nothing feeds this layer"),
        ({"layers": (replace(neuron(), threshold=np.array([1, 2])),)},
         "n: threshold is neither one value nor one per neuron"),
        ({"layers": (replace(neuron(), du=np.array([[1]])),)},
         "n: du is neither one value nor one per neuron"),
        ({"layers": (replace(neuron(), v_init=np.array([1, 2])),)}, "n: v_init is not one value per neuron"),
        ({"layers": (replace(neuron(), bias_mantissa=np.array(1)),)},
         "n: bias_mantissa is not one value per neuron"),
        ({"layers": (replace(neuron(), scale=(0.0,)),)}, "n: scale is not one positive number"),
        ({"layers": (replace(neuron(), scale=(float("nan"),)),)}, "n: scale is not one positive number"),
        ({"readout": "membrane"}, "n: a membrane readout must not fire"),
        ({"readout": "loudest"}, r"program: readout is none of spike_count, membrane \('loudest'\)"),
        ({"latency": 1.0}, r"program: latency is no integer \(1.0\)"),
        ({"max_steps": 2.5}, r"program: max_steps is no integer \(2.5\)"),
        ({"inputs": (Port(name="input", shape=(0,)),)},
         r"input: shape \(0,\) is not made of positive integers"),
        ({"inputs": (Port(name="input", shape=()),)}, r"input: shape \(\) is not made of positive integers"),
        ({"layers": (replace(neuron(), reset="gentle"),)}, r"n: reset is none of hard, soft \('gentle'\)"),
    ],
)  # fmt: skip
def test_faults_of_structure(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        changed(**fields)


def test_all_faults_of_structure_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        changed(outputs=("x", "y"), latency=-1)
    assert len(caught.value.issues) == 3


def test_an_edge_without_delay_may_not_close_a_loop() -> None:
    now, later = edge("input", [[1]], delay=0), edge("n", [[1]], delay=0)
    with pytest.raises(ConfigurationError, match="n from n: an edge without delay comes from a later layer or itself"):
        network([layer("n", [now, later], threshold=3)], target="int8")
    with pytest.raises(ConfigurationError, match="a from b: an edge without delay comes from a later layer"):
        network(
            [
                layer("a", [now, edge("b", [[1]], delay=0)], threshold=3),
                layer("b", [edge("a", [[1]], delay=0)], threshold=3),
            ],
            target="int8",
        )


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        (
            {"threshold": 131072},
            r"n: threshold \(131072\) exceeds 0 ... 131071; choose a larger weight scale",
        ),
        ({"threshold": -1}, r"n: threshold \(-1\) exceeds 0 ... 131071"),
        ({"du": 4096}, r"n: current decay du \(4096\) exceeds 0 ... 4095"),
        ({"dv": -1}, r"n: membrane decay dv \(-1\) exceeds 0 ... 4095"),
        ({"bias": 4096}, r"n: bias mantissa \(4096\) exceeds -4096 ... 4095"),
        ({"bias": -4097}, r"n: bias mantissa \(-4097\) exceeds -4096 ... 4095"),
        ({"bias_exponent": 8}, r"n: bias exponent \(8\) exceeds 0 ... 7"),
        ({"v_init": 2**23}, r"n: initial membrane \(8388608\) exceeds -8388607 ... 8388607"),
        (
            {"reset": "soft"},
            "n: the soft reset does not exist on loihi2; retrain with --reset hard, or choose",
        ),
    ],
)
def test_numbers_out_of_range(constants: dict[str, Any], message: str) -> None:
    with pytest.raises(OutOfRange, match=message):
        network([neuron(**constants)])


@pytest.mark.parametrize(
    "constants",
    [
        {"threshold": 131071}, {"threshold": 0}, {"du": 0}, {"du": 4095}, {"dv": 4095}, {"bias": 4095},
        {"bias": -4096, "bias_exponent": 7}, {"v_init": 2**23 - 1}, {"v_init": 1 - 2**23},
    ],
)  # fmt: skip
def test_numbers_at_the_ends_of_their_range(constants: dict[str, Any]) -> None:
    assert network([neuron(**constants)]).layers[0].size == 1


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([edge("input", [[128]])], r"n from input: weight \(128\) exceeds -128 ... 127"),
        ([edge("input", [[-129]])], r"n from input: weight \(-129\) exceeds -128 ... 127"),
        ([edge("input", [[1]], delay=0)], r"n from input: delay \(0\) exceeds 1 ... 63"),
        ([edge("input", [[1]], delay=64)], r"n from input: delay \(64\) exceeds 1 ... 63"),
    ],
)
def test_edges_out_of_range(edges: list[Edge], message: str) -> None:
    with pytest.raises(OutOfRange, match=message):
        network([layer("n", edges, threshold=3)], latency=1)


@pytest.mark.parametrize(
    ("port", "message"),
    [
        (
            Port(name="input", shape=(1,), high=2**24),
            r"input: an input value \(16777216\) exceeds 0 ... 16777215",
        ),
        (Port(name="input", shape=(1,), low=-1), r"input: an input value \(-1\) exceeds 0 ... 16777215"),
        (Port(name="input", shape=(1,), low=3, high=2), r"input: low is above high \(3\)"),
    ],
)
def test_ports_out_of_range(port: Port, message: str) -> None:
    with pytest.raises(OutOfRange, match=message):
        network([neuron()], inputs=(port,))


def test_constants_by_neuron_only_where_the_target_has_them() -> None:
    two = layer("n", [edge("input", [[5], [5]])], threshold=[3, 4])
    with pytest.raises(OutOfRange, match="n: threshold differs by neuron; loihi2 has one per layer"):
        network([two])


def test_a_silent_layer_needs_no_reset_rule() -> None:
    silent = neuron(reset="soft", fires=False, threshold=131071)
    assert network([silent], readout="membrane").readout == "membrane"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weight": np.zeros((1, 1, 3, 3), int), "in_shape": (1, 2, 2)},
            "the kernel .3, 3. is larger than its padded",
        ),
        ({"weight": np.zeros((1, 1, 1), int)}, "is not positive"),
        ({"stride": (0, 1)}, "is not positive"),
        ({"padding": (-1, 0)}, "is not positive"),
        ({"groups": 2}, "with 2 groups does not fit 1 input channels"),
        ({"in_shape": (2, 4, 4)}, "with 1 groups does not fit 2 input channels"),
        ({"pool": (5, 1)}, "the pool .5, 1. is larger than its input"),
        ({"stride": (1.0, 1)}, "stride .1.0, 1. is not 2 integers"),
        ({"dilation": (1,)}, "dilation .1,. is not 2 integers"),
        ({"in_shape": (1, 16)}, "in_shape .1, 16. is not 3 integers"),
    ],
)
def test_convolutions_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ConvMap(**{"weight": np.ones((1, 1, 2, 2), int), "in_shape": (1, 4, 4), **options})


@pytest.mark.parametrize("shape", [(3,), (0, 2), (1, 2, 3)])
def test_dense_maps_are_matrices(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"is not \(outputs, inputs\)"):
        DenseMap(weight=np.zeros(shape, int))


def test_arrays_must_be_integers() -> None:
    with pytest.raises(ConfigurationError, match="an array holds float64 where integers are expected"):
        DenseMap(weight=np.array([[0.5]]))


def test_a_program_is_frozen_down_to_its_arrays() -> None:
    weight = np.array([[5]])
    program = network([layer("n", [edge("input", DenseMap(weight=weight))], threshold=3)])
    weight[0, 0] = 99
    assert program.layers[0].edges[0].map.weight.tolist() == [[5]]
    for array in (program.layers[0].threshold, program.layers[0].edges[0].map.weight):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        program.latency = 3  # type: ignore[misc]


def test_layers_are_found_by_name() -> None:
    program = network([neuron("a"), neuron("b", "a")])
    assert program.layer("b") is program.layers[1]
    assert program.sizes == {"input": 1, "a": 1, "b": 1}
    with pytest.raises(ConfigurationError, match="program: no layer is called 'c'"):
        program.layer("c")


def test_the_effective_bias() -> None:
    assert neuron(bias=-3, bias_exponent=6).bias.tolist() == [-192]
