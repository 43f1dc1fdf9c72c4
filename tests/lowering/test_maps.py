"""Weights on an integer grid: the Program's synaptic sums are torch's, exactly, whatever stands between the neurons."""

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

from neuroprivacy.graph import GraphInfo, load_nir, save_nir
from neuroprivacy.lowering import lower
from neuroprivacy.program import ConvMap, DenseMap
from neuroprivacy.runtime.simulation import encode_samples

TARGETS = ["loihi2", "int8"]


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(x, np.float64))


def exactly(sums: np.ndarray, program, name: str, expected: torch.Tensor) -> None:
    """Integer sums times the layer's unit are the float sums, without any tolerance beyond the unit's own rounding."""
    assert np.abs(sums).max() > 50
    wanted = expected.numpy().reshape(*sums.shape) / program.layer(name).scale[0]
    np.testing.assert_allclose(wanted, np.rint(wanted), atol=1e-6)
    np.testing.assert_array_equal(sums, np.rint(wanted).astype(np.int64))


@pytest.mark.parametrize("target", TARGETS)
def test_linear_and_affine(target: str, maker, lowered, sums) -> None:
    first, second = maker.linear(9, 20), maker.linear(5, 9, bias=[3.0, -2, 0, 7, 1])
    graph = maker.chain(20, {"a": first, "n": maker.neurons(9), "b": second, "m": maker.neurons(5)}, 5)
    program = lowered(graph, target).program
    assert isinstance(program.layers[0].edges[0].map, DenseMap)
    x = maker.spikes(3, 11, 20)
    exactly(sums(program, x, "n", depth=1), program, "n", tensor(x) @ tensor(first.weight).T)
    assert set(program.layer("n").scale) == set(program.layer("m").scale) == {1.0}
    np.testing.assert_array_equal(program.layer("m").bias, _bias(program, [3, -2, 0, 7, 1]))


def _bias(program, values: list[int]) -> np.ndarray:
    return np.array(values) << program.target.activation_shift


CONVS = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (2, 1), "padding": (0, 2)},
    {"dilation": 2, "padding": (2, 1)},
    {"dilation": (1, 2)},
    {"groups": 2},
    {"groups": 2, "stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)},
    {"padding": "same"},
    {"padding": "valid"},
]


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (5, 3)])
@pytest.mark.parametrize("options", CONVS, ids=str)
def test_convolutions(target: str, kernel: tuple[int, int], options: dict, maker, lowered, sums) -> None:
    weight = maker.weights(4, 4 // options.get("groups", 1), *kernel)
    given = {
        key: value if key == "groups" or isinstance(value, str) else tuple(np.broadcast_to(value, 2).tolist())
        for key, value in options.items()
    }
    x = maker.spikes(2, 4, 4, 9, 7)
    bias = np.array([1.0, -5, 0, 2])
    expected = functional.conv2d(tensor(x).flatten(0, 1), tensor(weight), **given)
    graph = maker.chain(
        (4, 9, 7), {"c": maker.conv(weight, (9, 7), bias=bias, **given), "n": maker.neurons(*expected.shape[1:])},
        expected.shape[1:],
    )  # fmt: skip
    program = lowered(graph, target).program
    assert program.layers[0].shape == tuple(expected.shape[1:])
    exactly(sums(program, x, "n", depth=1), program, "n", expected)
    neurons_per_channel = expected[0, 0].numel()
    np.testing.assert_array_equal(program.layers[0].bias, np.repeat(_bias(program, [1, -5, 0, 2]), neurons_per_channel))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", [nir.AvgPool2d, nir.SumPool2d])
@pytest.mark.parametrize(("kernel", "stride"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 3)), ((1, 4), (2, 1))])
@pytest.mark.parametrize("behind", ["conv", "linear"])
def test_pools_are_folded_exactly(target: str, kind, kernel, stride, behind: str, maker, lowered, sums) -> None:
    x = maker.spikes(2, 3, 2, 9, 8, rate=0.7)
    factor = 1.0 if kind is nir.AvgPool2d else kernel[0] * kernel[1]
    pooled = functional.avg_pool2d(tensor(x).flatten(0, 1), kernel, stride) * factor
    nodes = {"pool": maker.pool(kind, kernel, stride)}
    if behind == "conv":
        weight = maker.weights(3, 2, 3, 2)
        expected = functional.conv2d(pooled, tensor(weight), stride=(1, 2), padding=(1, 0))
        nodes["c"] = maker.conv(weight, tuple(pooled.shape[2:]), stride=(1, 2), padding=(1, 0))
    else:
        weight = maker.weights(5, pooled[0].numel())
        expected = pooled.flatten(1) @ tensor(weight).T
        nodes |= {"flat": maker.flatten(*pooled.shape[1:]), "c": nir.Linear(weight=weight)}
    shape = tuple(expected.shape[1:])
    nodes["n"] = maker.neurons(*shape)
    program = lowered(maker.chain((2, 9, 8), nodes, shape), target).program
    edge = program.layers[0].edges[0]
    assert isinstance(edge.map, ConvMap)
    assert edge.map.pool == kernel
    # The weights are the given integers; the pool's 1/k² is in the unit.
    np.testing.assert_array_equal(edge.map.weight.reshape(-1), weight.reshape(-1))
    exactly(sums(program, x, "n", depth=1), program, "n", expected)


def test_a_file_with_odd_kernels_and_groups_is_read(maker, lowered, sums, tmp_path) -> None:
    """nir's own shape inference refuses such a file."""
    weight = maker.weights(4, 1, 1, 3)
    x = maker.spikes(2, 3, 2, 8, 8)
    expected = functional.conv2d(functional.avg_pool2d(tensor(x).flatten(0, 1), 2), tensor(weight), groups=2)
    nodes = {
        "pool": maker.pool(nir.AvgPool2d, (2, 2)), "c": maker.conv(weight, (4, 4), groups=2),
        "n": maker.neurons(4, 4, 2),
    }  # fmt: skip
    path = save_nir(maker.chain((2, 8, 8), nodes, (4, 4, 2)), tmp_path / "a.nir")
    with pytest.raises(ValueError, match="mismatch"):
        nir.read(path)
    program = lowered(load_nir(path)).program
    exactly(sums(program, x, "n", depth=1), program, "n", expected)


@pytest.mark.parametrize("stated", [True, False])
def test_a_convolution_need_not_state_its_input_shape(stated: bool, maker, lowered, sums) -> None:
    weight = maker.weights(3, 2, 3, 2)
    x = maker.spikes(2, 3, 2, 5, 6)
    expected = functional.conv2d(tensor(x).flatten(0, 1), tensor(weight))
    node = maker.conv(weight, (5, 6) if stated else None)
    program = lowered(maker.chain((2, 5, 6), {"c": node, "n": maker.neurons(3, 3, 5)}, (3, 3, 5))).program
    exactly(sums(program, x, "n", depth=1), program, "n", expected)


def test_a_flat_input_is_read_as_the_convolution_says(maker, lowered, sums) -> None:
    weight = maker.weights(3, 2, 3, 2)
    x = maker.spikes(2, 3, 60)
    expected = functional.conv2d(tensor(x).reshape(6, 2, 5, 6), tensor(weight))
    nodes = {"c": maker.conv(weight, (5, 6)), "n": maker.neurons(3, 3, 5)}
    program = lowered(maker.chain(60, nodes, (3, 3, 5))).program
    exactly(sums(program, x, "n", depth=1), program, "n", expected)


@pytest.mark.parametrize("end", ["conv", "linear"])
def test_a_linear_node_at_the_end_is_a_readout(end: str, maker, lowered, ran) -> None:
    x = maker.spikes(2, 6, 2, 5, 6)
    if end == "conv":
        weight = maker.weights(3, 2, 1, 3)
        nodes, shape = {"c": maker.conv(weight, (5, 6))}, (3, 5, 4)
        expected = functional.conv2d(tensor(x).sum(1), tensor(weight)).flatten(1)
    else:
        weight, shape = maker.weights(4, 60), (4,)
        nodes = {"flat": maker.flatten(2, 5, 6), "c": nir.Linear(weight=weight)}
        expected = tensor(x).sum(1).flatten(1) @ tensor(weight).T
    program = lowered(maker.chain((2, 5, 6), nodes, shape), dt_s=1e-4, time_steps=6).program
    layer = program.layers[-1]
    assert (layer.name, layer.shape, layer.fires, program.readout) == ("c", shape, False, "membrane")
    np.testing.assert_array_equal(ran(program, x).readout >> 6, expected.numpy().astype(np.int64))


@pytest.mark.parametrize("target", TARGETS)
def test_flatten_only_renames(target: str, maker, lowered, sums) -> None:
    weight = maker.weights(6, 24)
    nodes = {"flat": maker.flatten(2, 3, 4), "fc": nir.Linear(weight=weight), "n": maker.neurons(6)}
    program = lowered(maker.chain((2, 3, 4), nodes, 6), target).program
    x = maker.spikes(2, 5, 2, 3, 4)
    exactly(sums(program, x, "n", depth=1), program, "n", tensor(x).flatten(2) @ tensor(weight).T)


@pytest.mark.parametrize("target", TARGETS)
def test_branches_of_different_length_meet_in_step(target: str, maker, lowered, sums, ran) -> None:
    """input -> n1 -> n2 -> join and input -> join: the short branch waits."""
    w = {name: maker.weights(6, 6) for name in ("a", "b", "long", "short")}
    nodes = {name: nir.Linear(weight=weight) for name, weight in w.items()}
    nodes |= {name: maker.neurons(6, theta=150.0) for name in ("n1", "n2", "join")}
    edges = [("input", "a"), ("a", "n1"), ("n1", "b"), ("b", "n2"), ("n2", "long"), ("long", "join"),
             ("input", "short"), ("short", "join"), ("join", "output")]  # fmt: skip
    program = lowered(maker.graph({"input": 6}, nodes, edges, {"output": 6}), target).program
    x = maker.spikes(3, 15, 6)
    spikes = tensor(x)
    for _name, weight in (("n1", w["a"]), ("n2", w["b"])):
        v, fired = torch.zeros(3, 6, dtype=torch.float64), []
        for t in range(15):
            v = v + spikes[:, t] @ tensor(weight).T
            fired.append((v > 150).double())
            v = v * (1 - fired[-1])
        spikes = torch.stack(fired, 1)
        assert 0.05 < spikes.mean() < 0.8
    expected = spikes @ tensor(w["long"]).T + tensor(x) @ tensor(w["short"]).T
    exactly(sums(program, x, "join", depth=3), program, "join", expected)
    delays = {e.source: e.delay for e in program.layer("join").edges}
    assert delays == ({"n2": 1, "input": 3} if target == "loihi2" else {"n2": 0, "input": 0})
    assert program.latency == (3 if target == "loihi2" else 0)


@pytest.mark.parametrize("target", TARGETS)
def test_two_edges_from_one_source_add(target: str, maker, lowered, sums) -> None:
    first, second = maker.weights(4, 7), maker.weights(4, 7)
    nodes = {"a": nir.Linear(weight=first), "b": nir.Linear(weight=second), "n": maker.neurons(4)}
    edges = [("input", "a"), ("input", "b"), ("a", "n"), ("b", "n"), ("n", "output")]
    program = lowered(maker.graph({"input": 7}, nodes, edges, {"output": 4}), target).program
    x = maker.spikes(2, 6, 7)
    exactly(sums(program, x, "n", depth=1), program, "n", tensor(x) @ tensor(first + second).T)


@pytest.mark.parametrize("target", TARGETS)
def test_two_inputs(target: str, maker, lowered, sums) -> None:
    first, second = maker.weights(4, 3), maker.weights(4, 5)
    nodes = {"a": nir.Linear(weight=first), "b": nir.Linear(weight=second), "n": maker.neurons(4)}
    edges = [("left", "a"), ("right", "b"), ("a", "n"), ("b", "n"), ("n", "output")]
    program = lowered(maker.graph({"left": 3, "right": 5}, nodes, edges, {"output": 4}), target).program
    assert [port.name for port in program.inputs] == ["left", "right"]
    x = {"left": maker.spikes(2, 6, 3), "right": maker.spikes(2, 6, 5)}
    expected = tensor(x["left"]) @ tensor(first).T + tensor(x["right"]) @ tensor(second).T
    exactly(sums(program, x, "n", depth=1), program, "n", expected)


@pytest.mark.parametrize("target", TARGETS)
def test_a_recurrent_edge_reads_the_step_before(target: str, maker, lowered, sums, ran) -> None:
    forward, back = maker.weights(5, 8), maker.weights(5, 5)
    nodes = {"in": nir.Linear(weight=forward), "rec": nir.Linear(weight=back), "n": maker.neurons(5, theta=60.0)}
    edges = [("input", "in"), ("in", "n"), ("n", "rec"), ("rec", "n"), ("n", "output")]
    program = lowered(maker.graph({"input": 8}, nodes, edges, {"output": 5}), target).program
    x = maker.spikes(3, 20, 8)
    v, spikes = np.zeros((3, 5)), np.zeros((3, 5))
    expected, fired = [], []
    for t in range(20):
        expected.append(x[:, t] @ forward.T + spikes @ back.T)
        v = v + expected[-1]
        spikes = (v > 60).astype(float)
        v = v * (1 - spikes)
        fired.append(spikes)
    assert 0.05 < np.mean(fired) < 0.9
    exactly(sums(program, x, "n", depth=1), program, "n", tensor(np.stack(expected, 1)))
    np.testing.assert_array_equal(ran(program, x).spikes["n"], np.stack(fired, 1))
    assert program.latency == (1 if target == "loihi2" else 0)


@pytest.mark.parametrize("behind", ["conv", "linear"])
def test_signed_input_becomes_an_on_and_an_off_channel(behind: str, maker, lowered, sums) -> None:
    info = GraphInfo(coding="poisson-signed", time_steps=9)
    if behind == "conv":
        weight, shape = maker.weights(3, 2, 3, 3), (2, 5, 4)
        nodes = {"c": maker.conv(weight, (5, 4), padding=(1, 1)), "n": maker.neurons(3, 5, 4)}
        graph = maker.chain(shape, nodes, (3, 5, 4), info=info)
    else:
        weight, shape = maker.weights(6, 8), (8,)
        graph = maker.chain(8, {"c": nir.Linear(weight=weight), "n": maker.neurons(6)}, 6, info=info)
    program = lowered(graph).program
    (port,) = program.inputs
    assert (port.shape, port.low, port.high) == ((2 * shape[0], *shape[1:]), 0, 1)
    assert program.encoder["on_off_channels"]
    samples = maker.rng.random((3, *shape)).astype(np.float32)
    x = encode_samples(program, samples)
    assert x.min() == 0
    on, off = np.split(x, 2, axis=2)
    assert not (on & off).any()
    signed = tensor(on - off)
    if behind == "conv":
        expected = functional.conv2d(signed.flatten(0, 1), tensor(weight), padding=1)
    else:
        expected = signed @ tensor(weight).T
    exactly(sums(program, x, "n", depth=1), program, "n", expected)


def test_a_chip_with_signed_messages_needs_no_split(maker, signed_target) -> None:
    info = GraphInfo(coding="poisson-signed", time_steps=9)
    graph = maker.chain(8, {"c": maker.linear(6, 8), "n": maker.neurons(6)}, 6, info=info)
    program = lower(graph, target=signed_target).program
    (port,) = program.inputs
    assert (port.shape, port.low, port.high) == ((8,), -1, 1)
    assert not program.encoder["on_off_channels"]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weight_bits(bits: int, maker, lowered) -> None:
    graph = maker.chain(40, {"a": maker.linear(10, 40), "n": maker.neurons(10)}, 10)
    weight = graph.nodes["a"].weight
    layer = lowered(graph, weight_bits=bits).program.layers[0]
    high = (1 << (bits - 1)) - 1
    found = layer.edges[0].map.weight
    assert -high - 1 <= found.min()
    assert found.max() <= high
    scale = layer.scale[0]
    # No symmetric grid does better.
    errors = [
        float(((np.clip(np.rint(weight / s), -high, high) * s - weight) ** 2).sum())
        for s in 127 / high * np.linspace(1.0, 0.5, 26)
    ]
    assert float(((found * scale - weight) ** 2).sum()) <= min(errors) * (1 + 1e-6) + 1e-9
    assert layer.threshold.tolist() == [int(np.floor(300 / scale * (1 + 1e-9)))]


def test_whole_networks_equal_the_float_network_exactly(ran) -> None:
    """Torch network with weights on the grid, all the way: readouts are equal, not near.

    Soft reset on int8 is not among them: its `>=` needs a threshold one unit above θ, and subtracts that.
    """
    from neuroprivacy.export.network import to_nir
    from neuroprivacy.networks import SpikingSpec, build_snn, model_spec

    for reset, target in (("hard", "loihi2"), ("hard", "int8"), ("soft", "loihi2-soft")):
        model = model_spec("convnet", input_shape=(1, 8, 8), classes=4, hidden=(20,), width=0.25, bias=True)
        torch.manual_seed(0)
        net = build_snn(model, SpikingSpec(time_steps=12, reset=reset, coding="poisson")).eval()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                grid = torch.randint(-127, 128, parameter.shape) if name.endswith("weight") else None
                if grid is not None:
                    grid.view(-1)[0] = 127
                parameter.copy_((grid if grid is not None else torch.randint(0, 30, parameter.shape)) / 64)
            for neuron in net.neurons().values():
                neuron.threshold.fill_(4.0)
        lowered = lower(to_nir(net), target=target)
        program = lowered.program
        assert not [r for r in lowered.diagnostics if "compensated" in str(r)]
        x = encode_samples(program, np.random.default_rng(0).random((6, 1, 8, 8), np.float32))
        with torch.no_grad():
            result = net(torch.from_numpy(x.swapaxes(0, 1).astype(np.float32)), record=True)
        assert all(0.02 < s.mean() < 0.9 for s in result.spikes.values())
        unit = program.layers[-1].scale[0] / (1 << program.target.activation_shift)
        np.testing.assert_allclose(ran(program, x).readout * unit, result.readout.numpy(), rtol=1e-6)
