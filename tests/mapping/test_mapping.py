"""Placing: counts against the matrix written out, every neuron once, no limit passed in silence."""

import dataclasses
import json
import math

import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.mapping import Placement, demand_of, place
from neuroprivacy.mapping.demand import kernel_entries
from neuroprivacy.mapping.split import match_layers
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, LinearMap, Port, Program, unroll
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import Limits, TargetSpec, load_target
from neuroprivacy.testing.random_programs import random_case


def layer(name: str, linear: LinearMap, source: str, *, delay: int = 1) -> Layer:
    zeros = np.zeros(math.prod(linear.out_shape), np.int64)
    return Layer(
        name=name, shape=linear.out_shape, edges=(Edge(source=source, map=linear, delay=delay),),
        threshold=np.array([9]), du=np.array([4095]), dv=np.array([0]), bias_mantissa=zeros, bias_exponent=0,
        v_init=zeros, reset="hard",
    )  # fmt: skip


def dense(outputs: int, inputs: int) -> DenseMap:
    return DenseMap(weight=np.ones((outputs, inputs), np.int64))


def conv(out: int, shape: tuple[int, int, int], kernel: int = 3, **options: object) -> ConvMap:
    groups = int(options.get("groups", 1))  # type: ignore[call-overload]
    weight = np.ones((out, shape[0] // groups, kernel, kernel), np.int64)
    return ConvMap(weight=weight, in_shape=shape, **options)  # type: ignore[arg-type]


def network(shape: tuple[int, ...], *layers: Layer, **limits: int) -> Program:
    spec = load_target("loihi2")
    if limits:
        spec = dataclasses.replace(spec, limits=Limits(**limits))  # type: ignore[arg-type]
    return Program(
        target=spec, inputs=(Port(name="input", shape=shape),), layers=layers, outputs=(layers[-1].name,),
        readout="spike_count", latency=len(layers),
    )  # fmt: skip


def check(placed: Placement, program: Program) -> None:
    """Every neuron once; every core within its limits, unless an issue names the layer."""
    for each in program.layers:
        order = demand_of(each).order
        held = [order[core.first : core.last] for core in placed.cores if core.layer == each.name]
        assert sorted(np.concatenate(held)) == list(range(each.size))
    assert [core.index for core in placed.cores] == list(range(len(placed.cores)))
    named = {issue.where for issue in placed.issues}
    for core in placed.cores:
        assert core.layer in named or all(share <= 1 for share in core.shares.values())
    assert placed.totals["neurons"][0] == sum(each.size for each in program.layers)
    assert placed.totals["synapses"][0] == sum(core.synapses for core in placed.cores)


@pytest.mark.parametrize(
    "linear",
    [
        dense(3, 7),
        conv(2, (3, 5, 6)),
        conv(4, (2, 6, 6), groups=2, padding=(1, 1)),
        conv(3, (2, 7, 5), stride=(2, 1), padding=(2, 1), dilation=(1, 2)),
        conv(2, (1, 8, 8), pool=(2, 2), pool_stride=(2, 2)),
        conv(2, (1, 8, 7), kernel=2, pool=(3, 2), pool_stride=(1, 2)),
    ],
)
def test_counts_are_those_of_the_unrolled_matrix(linear: LinearMap) -> None:
    written = unroll(linear)
    demand = demand_of(layer("a", linear, "input"))
    matrix = np.zeros(written.shape, np.int64)
    np.add.at(matrix, (written.rows, written.columns), 1)
    assert demand.fan_in.tolist() == matrix.sum(axis=1).tolist()
    assert demand.sources.tolist() == (matrix > 0).sum(axis=1).tolist()
    assert demand.synapses == len(written.values) == int(linear.fan_out().sum())
    assert demand.weights == linear.weight.size
    for first in range(0, demand.layer.size, 3):
        for last in range(first + 1, demand.layer.size + 1, 5):
            (mask,) = demand.touched(first, last)
            assert mask.tolist() == matrix[demand.order[first:last]].any(axis=0).tolist()
            assert demand.axons_in(first, last) == mask.sum()


def test_a_network_counted_by_hand() -> None:
    program = network(
        (784,), layer("hidden", dense(128, 784), "input"), layer("out", dense(10, 128), "hidden", delay=3)
    )
    placed = place(program)
    hidden, out = placed.layers
    assert (hidden.neurons, hidden.synapses, hidden.weights, hidden.memory_bits) == (128, 100352, 100352, 802816)
    assert (hidden.fan_in, hidden.fan_out, hidden.axons_in, hidden.axons_out) == (784, 10, 784, 128)
    assert (out.fan_in, out.fan_out, out.axons_in, out.axons_out, out.delay_slots) == (128, 0, 128, 0, 2)
    assert (hidden.cores, out.cores, placed.totals["cores"], placed.totals["synapses"]) == (
        1,
        1,
        (2, 128),
        (101632, None),
    )
    assert placed.fits
    assert not placed.issues
    assert placed.sentence() == "It fits loihi2 on 2 cores."


def test_a_layer_is_split_where_its_synapses_are_too_many() -> None:
    program = network((784,), layer("hidden", dense(128, 784), "input"), layer("out", dense(10, 128), "hidden"))
    placed = place(program, target=load_target("loihi1"))
    # 128 KiB hold 65536 synapses of 16 bits: 83 neurons of 784 inputs.
    assert [(core.layer, core.first, core.last) for core in placed.cores] == [
        ("hidden", 0, 83), ("hidden", 83, 128), ("out", 0, 10),
    ]  # fmt: skip
    assert placed.cores[0].memory_bits == 83 * 784 * 16 <= 1048576
    check(placed, program)


def test_output_axons_split_the_layer_that_sends() -> None:
    program = network(
        (4,), layer("a", dense(6, 4), "input"), layer("b", dense(6, 6), "a"), cores=99, neurons_per_core=3, axons_out=4
    )
    placed = place(program)
    # Both cores of b listen to each neuron of a: two of them send four axons.
    assert [core.neurons for core in placed.cores] == [2, 2, 2, 3, 3]
    assert [core.axons_out for core in placed.cores] == [4, 4, 4, 0, 0]
    check(placed, program)


def test_what_splitting_cannot_help_is_said() -> None:
    program = network(
        (50,), layer("a", dense(6, 50), "input"), cores=1, neurons_per_core=4, axons_in=40, synapse_bits_per_core=300
    )
    placed = place(program)
    texts = [str(issue) for issue in placed.issues]
    assert not placed.fits
    assert any(text.startswith("a: axons in of one core (50) exceeds 40; splitting does not help") for text in texts)
    assert any(text.startswith("a: synapse memory of one core, bits (1600) exceeds 300") for text in texts)
    assert any(text.startswith("network: cores (2) exceeds 1; use 2 chips") for text in texts)
    assert sum(core.neurons for core in placed.cores) == 6


def test_secondary_limits_give_warnings() -> None:
    placed = place(network((5000,), layer("a", dense(2, 5000), "input")))
    assert placed.fits
    assert placed.doubtful
    assert len(placed.issues) == 1
    assert "secondary" in placed.issues[0].hint
    assert placed.sentence().startswith("It may not fit loihi2")


def test_convolutions_share_weights_and_cut_by_position() -> None:
    program = network(
        (1, 28, 28), layer("a", conv(16, (1, 28, 28), padding=(1, 1)), "input"), cores=99, neurons_per_core=448
    )
    placed = place(program)
    assert (placed.layers[0].weights, placed.layers[0].synapses) == (144, 16 * (3 * 28 - 2) ** 2)
    assert {core.neurons for core in placed.cores} == {448}
    assert [core.axons_in for core in placed.cores] == [56, *[84] * 26, 56]  # a row of positions sees three rows
    assert any("unrolled" in note for note in placed.notes)
    check(placed, program)


def test_speck_gives_each_layer_a_core_of_its_own() -> None:
    speck = load_target("speck")
    first = conv(16, (2, 32, 32), padding=(1, 1))
    assert kernel_entries(conv(32, (16, 64, 64)), (16, 64, 64)) == 8192  # the worked example of sinabs' documentation
    fits = network((2, 32, 32), layer("a", first, "input"), layer("b", conv(8, (16, 32, 32), stride=(2, 2)), "a"))
    placed = place(fits, target=speck)
    assert placed.fits
    assert [core.layer for core in placed.cores] == ["a", "b"]
    wide = network((2, 32, 32), layer("a", first, "input"), layer("b", dense(10, 16384), "a"))
    texts = "\n".join(str(issue) for issue in place(wide, target=speck).issues)
    assert "b from a: kernel (32) exceeds 16" in texts
    odd = network((2, 32, 32), layer("a", conv(4, (2, 32, 32), stride=(3, 3)), "input"))
    assert "a stride of 3, 3 does not exist; choose one of 1, 2, 4, 8" in str(place(odd, target=speck).issues[0])
    deep = [layer("l0", dense(4, 4), "input"), *[layer(f"l{i}", dense(4, 4), f"l{i - 1}") for i in range(1, 11)]]
    crowded = place(network((4,), *deep), target=speck)
    assert sum("no core is left" in issue.what for issue in crowded.issues) == 2


def test_cores_that_differ_are_listed_in_full() -> None:
    speck = load_target("speck")
    odd = dataclasses.replace(speck, limits=dataclasses.replace(speck.limits, neurons_of_cores=(5, 5)))
    with pytest.raises(ConfigurationError, match="9 cores by kernel_bits_of_cores and 2 by neurons_of_cores"):
        place(network((4,), layer("a", dense(4, 4), "input")), target=odd)


def test_matching_moves_layers_out_of_the_way() -> None:
    assert match_layers([(1, 1), (5, 1)], [5, 1], [9, 9]) == (1, 0)
    assert match_layers([(5, 1), (5, 1)], [5, 1], [9, 9]).count(None) == 1


def test_xylo_counts_channels_and_neurons() -> None:
    program = network((16,), layer("a", dense(992, 16), "input"), layer("b", dense(33, 992), "a"))
    (issue,) = place(program, target=load_target("xylo")).issues
    assert (issue.what, issue.value, issue.limit) == ("output neurons", 33, 32)


def test_a_program_of_a_target_for_checking_alone_does_not_run() -> None:
    program = network((4,), layer("a", dense(2, 4), "input"))
    checked = dataclasses.replace(program.target, name="mine", check_only=True)
    program = dataclasses.replace(program, target=checked)
    with pytest.raises(ConfigurationError, match="mine is described for `target check` alone"):
        run_reference(program, {"input": np.ones((1, 3, 4), np.int64)})


def test_int8_counts_bytes() -> None:
    target = load_target("int8")
    program = dataclasses.replace(
        network((9,), layer("a", dense(5, 9), "input"), layer("b", dense(3, 5), "a", delay=2)),
        target=target, provenance={"weight_bits": 4},
    )  # fmt: skip
    placed = place(program)
    assert not placed.cores
    # 45 and 15 weights of 4 bits; 8 states of int32; 9 bytes of input held for a step, 5 spikes in a byte for two.
    assert placed.totals["packed weights"] == (23 + 8, None)
    assert placed.totals["neuron states"] == (32, None)
    assert placed.totals["delay buffers"] == (9 + 2, None)


SMALL = Limits(cores=64, neurons_per_core=9, synapse_bits_per_core=2400, axons_in=40, axons_out=30, synapse_bits=8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("limits", [None, SMALL], ids=["loihi2", "small"])
def test_random_programs(seed: int, limits: Limits | None) -> None:
    program = random_case(seed, steps=2, samples=1).program
    spec: TargetSpec = program.target if limits is None else dataclasses.replace(program.target, limits=limits)
    placed = place(program, target=spec)
    check(placed, program)
    again = place(program, target=spec)
    assert json.dumps(placed.describe()) == json.dumps(again.describe())
    assert limits is not None or (placed.fits and len(placed.cores) == len(program.layers))
    sent = sum(core.axons_out for core in placed.cores)
    ports = {port.name for port in program.inputs}
    heard = sum(
        int(mask.sum())
        for core in placed.cores
        for edge, mask in zip(
            program.layer(core.layer).edges,
            demand_of(program.layer(core.layer)).touched(core.first, core.last),
            strict=True,
        )
        if edge.source not in ports
    )
    assert sent == heard  # what leaves cores arrives at cores
