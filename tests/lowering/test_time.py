"""Delays and bias timing: the delayed network is the latency-free one, bit for bit, wherever the passes say so."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprivacy.core.errors import DoesNotFit
from neuroprivacy.divergence import trace
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.lowering.passes.compensate_bias_latency import compensated, initial_state
from neuroprivacy.program import DenseMap, Edge, Layer, Port, Program
from neuroprivacy.runtime.backend import Record, check_inputs
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import load_target, target_from_dict

LOIHI = load_target("loihi2")
#: The same arithmetic on a chip whose edges cost nothing.
FREE = target_from_dict({**LOIHI.to_dict(), "name": "no latency", "edge_delay_min": 0}, where="test")
EVERYTHING = Record(spikes=True, final=True, states=True)
STEPS = 12


def without_latency(program: Program) -> Program:
    """A copy whose edges cost nothing and whose membranes start at 0: what was meant."""
    layers = tuple(
        replace(
            layer,
            edges=tuple(replace(e, delay=1 if e.source == layer.name else 0) for e in layer.edges),
            v_init=np.zeros(layer.size, np.int64),
        )
        for layer in program.layers
    )
    return replace(program, target=FREE, layers=layers, latency=0, max_steps=None)


def assert_the_same(program: Program, x: Any, *, aligned: dict[str, np.ndarray] | None = None) -> None:
    """Every spike and membrane of the aligned neurons, shifted by the depth of their layer."""
    free = run_reference(copy := without_latency(program), check_inputs(copy, x), record=EVERYTHING)
    late = run_reference(program, check_inputs(program, x), record=EVERYTHING)
    depth: dict[str, int] = {}
    steps = next(iter(check_inputs(program, x).values())).shape[1]
    for layer in program.layers:
        depth[layer.name] = max(e.delay + depth.get(e.source, 0) for e in layer.edges if e.source != layer.name)
        k, mask = depth[layer.name], np.ones(layer.size, bool) if aligned is None else aligned[layer.name]
        for kind in ("layer_spikes", "states_v"):
            got = getattr(late, kind)[layer.name][:, k : k + steps, mask]
            np.testing.assert_array_equal(got, getattr(free, kind)[layer.name][:, :, mask], err_msg=layer.name)
    if aligned is None:
        np.testing.assert_array_equal(late.readout, free.readout)
        np.testing.assert_array_equal(late.spikes[program.outputs[0]], free.spikes[program.outputs[0]])


@st.composite
def networks(draw: st.DrawFn) -> tuple[Program, dict[str, np.ndarray], np.ndarray]:
    """Chains with random weights, decays and biases of both signs, aligned; and which neurons are."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    layers: list[Layer] = []
    depth = {}
    for i, (before, size) in enumerate(pairwise(sizes)):
        source = f"n{i - 1}" if i else "input"
        strength = draw(st.sampled_from([5, 60, 500, 4000]))
        edges = [Edge(source=source, map=DenseMap(weight=rng.integers(-128, 128, (size, before))), delay=1)]
        if draw(st.booleans()):
            edges.append(Edge(source=f"n{i}", map=DenseMap(weight=rng.integers(-60, 60, (size, size))), delay=1))
        layers.append(
            Layer(
                name=f"n{i}", shape=(size,), edges=tuple(edges), threshold=np.array([draw(st.integers(1, 300))]),
                du=np.array([4095]), dv=np.array([draw(st.sampled_from([0, 1, 40, 409, 2048, 4000, 4095]))]),
                bias_mantissa=rng.integers(-strength, strength + 1, size), bias_exponent=draw(st.integers(0, 2)),
                v_init=np.zeros(size, np.int64), reset="hard",
            )
        )  # fmt: skip
        depth[f"n{i}"] = i + 1
    masks, upstream = {}, True
    for layer in layers:
        *_, works = initial_state(layer, depth[layer.name], LOIHI)
        # A neuron is the ideal one if it, and everything that feeds it, could be aligned.
        recurrent = any(e.source == layer.name for e in layer.edges)
        masks[layer.name] = works & upstream & (bool(works.all()) or not recurrent)
        upstream = upstream and bool(works.all())
    program = Program(
        target=LOIHI, inputs=(Port(name="input", shape=(sizes[0],)),),
        layers=compensated(tuple(layers), depth, LOIHI)[0],
        outputs=(layers[-1].name,), readout="spike_count", latency=len(layers),
    )  # fmt: skip
    return program, masks, (rng.random((2, STEPS, sizes[0])) < 0.5).astype(np.int64)


@pytest.mark.slow
@given(drawn=networks())
@settings(max_examples=150)
def test_aligned_networks_equal_their_latency_free_copy(
    drawn: tuple[Program, dict[str, np.ndarray], np.ndarray],
) -> None:
    program, masks, x = drawn
    assert_the_same(program, x, aligned=masks)
    if all(mask.all() for mask in masks.values()):
        assert_the_same(program, x)


def layer_with(bias: list[int], *, dv: int = 0, threshold: int = 10, fires: bool = True) -> Layer:
    size = len(bias)
    return Layer(
        name="n", shape=(size,), edges=(Edge(source="input", map=DenseMap(weight=np.ones((size, 1), int)), delay=1),),
        threshold=np.array([threshold]), du=np.array([4095]), dv=np.array([dv]), bias_mantissa=np.array(bias),
        bias_exponent=0, v_init=np.zeros(size, np.int64), reset="hard", fires=fires,
    )  # fmt: skip


def idle(v: int, bias: int, dv: int, steps: int) -> list[int]:
    """Membrane of each step without input, in Python's integers."""
    found = []
    for _ in range(steps):
        product = v * (4096 - dv)
        v = (abs(product) >> 12) * (1 if product >= 0 else -1) + bias
        found.append(v)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("dv", [0, 100, 2048])
def test_a_neuron_is_aligned_if_and_only_if_some_start_does_it(dv: int, steps: int) -> None:
    """Brute force over all starts; the threshold, 640, limits negative biases."""
    biases = [-700, -641, -640, -400, -321, -320, -100, -3, 0, 5, 200, 900]
    _, v_init, works = initial_state(layer_with(biases, dv=dv), steps, LOIHI)
    for bias, start, aligned in zip(biases, v_init.tolist(), works.tolist(), strict=True):
        good = [
            v for v in range(-13_000, 13_001) if (path := idle(v, bias, dv, steps))[-1] == 0 and max(path) <= 10 * 64
        ]
        if aligned:
            assert start in good or (bias == 0 and start == 0)
        else:
            assert start == 0
            assert not good or max(map(abs, good)) > 13_000


def test_integrate_and_fire_starts_below_by_the_idle_biases() -> None:
    _, v_init, works = initial_state(layer_with([7, -7, 0, 300]), 3, LOIHI)
    assert v_init.tolist() == [-21, 21, 0, -900]
    assert works.all()
    # (k - 1)·|bias| ≤ θ: 640 is the last one after two idle steps.
    *_, works = initial_state(layer_with([-640, -641]), 2, LOIHI)
    assert works.tolist() == [True, False]


def test_a_start_beyond_the_membrane_does_not_exist() -> None:
    *_, works = initial_state(layer_with([4_000_000]), 2, LOIHI)
    assert works.tolist() == [True]
    *_, works = initial_state(layer_with([4_000_000]), 3, LOIHI)
    assert works.tolist() == [False]


def test_what_cannot_be_aligned_is_sent(maker, lowered) -> None:
    first, second = maker.linear(4, 5), maker.linear(3, 4, bias=[-400.0, 2, -350])
    graph = maker.chain(5, {"a": first, "n": maker.neurons(4), "b": second, "m": maker.neurons(3)}, 3)
    found = lowered(graph)
    (issue,) = found.diagnostics
    assert str(issue) == (
        "m: the bias of 2 neurons would act before their first input; 4 neurons that fire in every step send it; it "
        "costs their spikes; smaller negative biases need none"
    )
    layer = found.program.layer("m")
    assert layer.bias.tolist() == [0, 128, 0]
    assert layer.v_init.tolist() == [0, -256, 0]
    sent = layer.edges[-1]
    assert (sent.source, sent.delay) == ("m.bias", 2)
    np.testing.assert_array_equal(sent.map.weight, [[-127, -127, -127, -19], [0] * 4, [-127, -127, -96, 0]])
    assert not lowered(graph, "int8").diagnostics


@pytest.mark.slow
@pytest.mark.parametrize("target", ["loihi2", "loihi2-soft"])
@pytest.mark.parametrize("seed", range(4))
def test_sent_biases_are_those_of_the_network_without_latency(seed: int, target: str, maker, lowered, ran) -> None:
    """Large biases of either sign, several layers deep, convolutions among them: every spike, current and membrane."""
    rng = np.random.default_rng(seed)
    conv = maker.conv(maker.weights(3, 2, 3, 3), (5, 5), padding=1, bias=rng.integers(-900, 400, 3).astype(float))
    nodes = {
        "c": conv, "k": maker.neurons(3, 5, 5), "p": maker.pool(nir.SumPool2d, (2, 2)), "f": maker.flatten(3, 2, 2),
        "a": maker.linear(8, 12, bias=rng.integers(-900, 400, 8).tolist()), "n": maker.neurons(8),
        "b": maker.linear(4, 8, bias=rng.integers(-900, 400, 4).tolist()), "m": maker.neurons(4),
    }  # fmt: skip
    graph = maker.chain((2, 5, 5), nodes, 4)
    found = lowered(graph, target, populations=1)
    assert any(layer.name.endswith(".bias") for layer in found.program.layers)
    flat = target_from_dict({**load_target(target).to_dict(), "name": "flat", "edge_delay_min": 0}, where="test")
    plain = lower(graph, target=flat, options=LowerOptions(populations=1))
    x = maker.spikes(3, 30, 50)
    one, other = ran(plain.program, x), ran(found.program, x)
    for layer in plain.program.layers:
        late = found.real_network.latencies[layer.name]
        for kind in ("layer_spikes", "states_v"):
            shifted = getattr(other, kind)[layer.name][:, late : late + 30]
            np.testing.assert_array_equal(shifted, getattr(one, kind)[layer.name])
        assert not other.layer_spikes[layer.name][:, :late].any()
    assert one.layer_spikes["k"].any()
    result = trace(found, between=("float", "reference"), inputs={"input": x})
    assert all(layer.differing == 0 for layer in result.layers)


def test_what_neither_helps_is_reported() -> None:
    layer = layer_with([-641, 2, -700])
    (aligned,), (issue,) = compensated((layer,), {layer.name: 2}, LOIHI)
    assert str(issue) == (
        f"{layer.name}: bias latency of neurons 0, 2 cannot be compensated (2 of 3); they run uncorrected; train with "
        "schedule='chip', or use smaller negative biases"
    )
    assert aligned.v_init.tolist() == [0, -4, 0]


@pytest.mark.parametrize("beta", [1.0, 0.9])
def test_lowered_networks_with_biases_equal_their_latency_free_copy(beta: float, maker, lowered) -> None:
    nodes = {}
    for i in range(3):
        nodes[f"fc{i}"] = maker.linear(6, 6, bias=maker.rng.integers(-40, 60, 6).tolist())
        nodes[f"n{i}"] = maker.neurons(6, theta=200.0, beta=beta)
    nodes["out"] = maker.linear(3, 6, bias=[5.0, -4, 0])
    found = lowered(maker.chain(6, nodes, 3), time_steps=STEPS)
    assert not found.diagnostics
    assert any(layer.v_init.any() for layer in found.program.layers)
    assert_the_same(found.program, maker.spikes(4, STEPS, 6))


def test_unaligned_biases_are_those_of_the_chips_schedule(maker, lowered) -> None:
    """With v_init taken away again, the Program is what `schedule="chip"` trains for."""
    import torch

    from neuroprivacy.export.network import to_nir
    from neuroprivacy.networks import SpikingSpec, build_snn, model_spec
    from neuroprivacy.runtime.simulation import encode_samples

    model = model_spec("mlp", input_shape=(9,), classes=3, hidden=(8, 8), bias=True)
    torch.manual_seed(1)
    net = build_snn(model, SpikingSpec(time_steps=STEPS, coding="poisson")).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            top = 127 if name.endswith("weight") else 40
            grid = torch.randint(-top, top + 1, parameter.shape)
            if top == 127:
                grid.view(-1)[0] = 127
            parameter.copy_(grid / 64)
        for neuron in net.neurons().values():
            neuron.threshold.fill_(2.0)
    program = lowered(to_nir(net)).program
    plain = replace(program, layers=tuple(replace(n, v_init=0 * n.v_init) for n in program.layers))
    x = encode_samples(program, maker.rng.random((5, 9)).astype(np.float32))
    with torch.no_grad():
        given = torch.from_numpy(x.swapaxes(0, 1).astype(np.float32))
        wanted = [net(given, schedule=schedule).readout.numpy() for schedule in ("chip", "ideal")]
    unit = program.layers[-1].scale[0] / 64
    for each, expected in zip((plain, program), wanted, strict=True):
        got = run_reference(each, check_inputs(each, x)).readout * unit
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert not np.allclose(*wanted)


@pytest.mark.slow
def test_branches_wait_up_to_the_longest_delay(maker, lowered) -> None:
    def fork(length: int) -> nir.NIRGraph:
        nodes: dict[str, Any] = {"short": maker.linear(2, 2), "last": maker.linear(2, 2), "join": maker.neurons(2)}
        edges, before = [("input", "short"), ("short", "join")], "input"
        for i in range(length):
            nodes |= {f"fc{i}": maker.linear(2, 2), f"n{i}": maker.neurons(2)}
            edges += [(before, f"fc{i}"), (f"fc{i}", f"n{i}")]
            before = f"n{i}"
        edges += [(before, "last"), ("last", "join"), ("join", "output")]
        return maker.graph({"input": 2}, nodes, edges, {"output": 2})

    program = lowered(fork(62)).program
    assert {e.source: e.delay for e in program.layer("join").edges} == {"input": 63, "n61": 1}
    assert program.latency == 63
    with pytest.raises(DoesNotFit, match=r"join from input: delay \(64\) exceeds 63; insert layers into the short"):
        lowered(fork(63))
    assert lowered(fork(63), "int8").program.latency == 0


def test_outputs_at_different_depths_are_read_each_in_its_own_window(maker, lowered, ran) -> None:
    nodes = {"a": maker.linear(3, 4), "n": maker.neurons(3), "b": maker.linear(2, 3), "m": maker.neurons(2)}
    edges = [("input", "a"), ("a", "n"), ("n", "b"), ("b", "m"), ("m", "out2"), ("n", "out1")]
    graph = maker.graph({"input": 4}, nodes, edges, {"out1": 3, "out2": 2})
    chip, flat = (lowered(graph, target).program for target in ("loihi2", "int8"))
    assert (chip.outputs, chip.latency, chip.latencies) == (("n", "m"), 2, (1, 2))
    assert (flat.outputs, flat.latency, flat.latencies) == (("n", "m"), 0, ())
    x = maker.spikes(3, 20, 4)
    for name in chip.outputs:
        np.testing.assert_array_equal(ran(chip, x).spikes[name], ran(flat, x).spikes[name])


def test_a_membrane_is_read_as_late_as_the_deepest_output(maker, lowered) -> None:
    nodes = {"a": maker.linear(3, 4), "n": maker.neurons(3), "b": maker.linear(2, 3), "m": maker.neurons(2)}
    nodes["read"] = maker.linear(5, 4)
    edges = [("input", "a"), ("a", "n"), ("n", "b"), ("b", "m"), ("m", "out2"), ("input", "read"), ("read", "out1")]
    program = lowered(maker.graph({"input": 4}, nodes, edges, {"out1": 5, "out2": 2})).program
    assert (program.outputs, program.readout, program.latencies) == (("read", "m"), "membrane", ())
    assert program.layer("read").edges[0].delay == 2


def test_layers_stand_behind_their_sources_whatever_the_order_of_nodes(maker, lowered) -> None:
    nodes = {"m": maker.neurons(2), "b": maker.linear(2, 3), "n": maker.neurons(3), "a": maker.linear(3, 4)}
    edges = [("n", "b"), ("b", "m"), ("m", "output"), ("input", "a"), ("a", "n")]
    program = lowered(maker.graph({"input": 4}, nodes, edges, {"output": 2})).program
    assert [layer.name for layer in program.layers] == ["n", "m"]
