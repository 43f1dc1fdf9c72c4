"""Every NIR primitive: what its integers compute, against a float64 simulation written here from NIR's equations."""

import itertools
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

from neuroprivacy.core.errors import DoesNotFit
from neuroprivacy.graph import GraphInfo
from neuroprivacy.lowering import LowerOptions, real_network
from neuroprivacy.lowering.discretize import decay_factor, discretize
from neuroprivacy.lowering.float_run import run_float

DT = 1e-4
STEPS = 30


def spikes_of(run: Any, program: Any, x: Any) -> np.ndarray:
    return run(program, x).spikes[program.outputs[0]]


def euler(node: Any, current: np.ndarray, *, soft: bool = False, dt: float = DT) -> np.ndarray:
    """Spikes (steps, neurons) of a NIR neuron for input (steps, neurons): forward Euler, current first."""
    n = current.shape[1]
    i, v = np.zeros(n), np.zeros(n)
    out = []
    for x in current:
        if isinstance(node, nir.CubaLIF):
            i = i + dt / node.tau_syn * (-i + node.w_in * x)
            v = v + dt / node.tau_mem * ((node.v_leak - v) + node.r * i)
        elif isinstance(node, nir.LIF):
            v = v + dt / node.tau * ((node.v_leak - v) + node.r * x)
        elif isinstance(node, nir.Threshold):
            out.append(x > node.threshold)
            continue
        else:
            v = v + dt * node.r * x
        fired = v > node.v_threshold
        v = np.where(fired, v - node.v_threshold if soft else node.v_reset, v)
        out.append(fired)
    return np.array(out).astype(np.int64)


def cuba(n: int, *, tau_syn: float, tau_mem: float, theta: float, leak: float = 0.0, reset: float = 0.0) -> nir.CubaLIF:
    one = np.ones(n)
    return nir.CubaLIF(
        tau_syn=tau_syn * one, tau_mem=tau_mem * one, r=tau_mem / DT * one, v_leak=leak * one,
        v_threshold=theta * one, v_reset=reset * one, w_in=tau_syn / DT * one,
    )  # fmt: skip


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_current_based_neurons(reset: str, maker, lowered, ran) -> None:
    """Large numbers: rounding of the decays is small beside them, so nearly all spikes are those of the equations."""
    fc = maker.linear(20, 30)
    node = cuba(20, tau_syn=5e-4, tau_mem=2e-3, theta=2000.0)
    info = GraphInfo(dt_s=DT, reset=reset)
    program = lowered(maker.chain(30, {"fc": fc, "n": node}, 20, info=info), "loihi2-soft").program
    layer = program.layers[0]
    assert layer.du.tolist() == [round(DT / 5e-4 * 4096) - 1]
    assert layer.dv.tolist() == [round(DT / 2e-3 * 4096)]
    x = maker.spikes(4, STEPS, 30)
    got = spikes_of(ran, program, x)
    for sample, spikes in zip(x, got, strict=True):
        wanted = euler(node, sample @ fc.weight.T, soft=reset == "soft")
        assert wanted.mean() > 0.01
        assert (wanted != spikes).mean() < 0.01


def test_a_bias_through_a_synapse_starts_as_slowly_as_the_synapse(maker, lowered, ran) -> None:
    fc = nir.Affine(weight=np.full((2, 3), 127.0), bias=np.array([60.0, 90]))
    node = cuba(2, tau_syn=1e-3, tau_mem=2e-3, theta=4000.0)
    program = lowered(maker.chain(3, {"fc": fc, "n": node}, 2, info=GraphInfo(dt_s=DT))).program
    x = np.zeros((1, 60, 3), np.int64)
    wanted = euler(node, x[0] @ fc.weight.T + fc.bias)
    got = spikes_of(ran, program, x)[0]
    assert wanted.any()
    assert np.abs(np.argmax(wanted, 0) - np.argmax(got, 0)).max() <= 1
    assert program.layers[0].u_init.any()


def test_a_hard_reset_to_somewhere_else(maker, lowered, ran) -> None:
    fc = maker.linear(5, 6)
    node = maker.neurons(5, theta=300.0, reset_to=-100.0)
    for target in ("loihi2", "int8"):
        program = lowered(maker.chain(6, {"fc": fc, "n": node}, 5), target).program
        x = maker.spikes(3, STEPS, 6)
        got = spikes_of(ran, program, x)
        for sample, spikes in zip(x, got, strict=True):
            np.testing.assert_array_equal(euler(node, sample @ fc.weight.T), spikes)


def test_a_threshold_node_has_no_memory(maker, lowered, ran) -> None:
    fc = maker.linear(5, 6)
    node = nir.Threshold(threshold=np.full(5, 90.5))
    program = lowered(maker.chain(6, {"fc": fc, "n": node}, 5)).program
    x = maker.spikes(3, STEPS, 6)
    for sample, spikes in zip(x, spikes_of(ran, program, x), strict=True):
        np.testing.assert_array_equal(euler(node, sample @ fc.weight.T), spikes)


@pytest.mark.parametrize("kind", ["I", "LI", "CubaLI"])
def test_neurons_that_only_integrate_are_read_by_their_membrane(kind: str, maker, lowered, ran) -> None:
    one = np.ones(4)
    node = {
        "I": nir.I(r=one / DT),
        "LI": nir.LI(tau=1e-3 * one, r=1e-3 / DT * one, v_leak=20 * one),
        "CubaLI": nir.CubaLI(
            tau_syn=1e-3 * one, tau_mem=2e-3 * one, r=2e-3 / DT * one, v_leak=0 * one, w_in=1e-3 / DT * one
        ),
    }[kind]
    fc = maker.linear(4, 10)
    found = lowered(maker.chain(10, {"fc": fc, "out": node}, 4), dt_s=DT, time_steps=STEPS)
    program = found.program
    assert program.readout == "membrane"
    x = maker.spikes(2, STEPS, 10)
    v, i = np.zeros((2, 4)), np.zeros((2, 4))
    for t in range(STEPS):
        current = x[:, t] @ fc.weight.T
        if kind == "CubaLI":
            i = i * 0.9 + current
            v = v * 0.95 + i
        else:
            v = v + current if kind == "I" else 0.9 * v + current + 0.1 * 20
    got = ran(program, x).readout * np.array(program.layers[0].scale) / 64
    np.testing.assert_allclose(got, v, atol=0.02 * np.abs(v).max())


def _torch_conv1d(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, **options: Any) -> np.ndarray:
    given = [torch.from_numpy(np.asarray(a, np.float64)) for a in (x, weight, bias)]
    return functional.conv1d(given[0], given[1], given[2], **options).numpy()


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2}, {"groups": 2}, {"padding": "same"}]
)
def test_one_dimensional_convolutions(options: dict, maker, lowered, ran) -> None:
    weight = maker.weights(4, 4 // options.get("groups", 1), 4 if options.get("padding") == "same" else 3)
    bias = np.array([3.0, -8, 0, 5])
    x = maker.spikes(2, STEPS, 4, 9)
    currents = np.stack([_torch_conv1d(weight, bias, sample, **options) for sample in x])
    node = nir.Conv1d(
        input_shape=9, weight=weight, bias=bias, stride=options.get("stride", 1), padding=options.get("padding", 0),
        dilation=options.get("dilation", 1), groups=options.get("groups", 1),
    )  # fmt: skip
    neurons = maker.neurons(*currents.shape[2:], theta=200.0)
    program = lowered(maker.chain((4, 9), {"c": node, "n": neurons}, currents.shape[2:])).program
    flat = nir.IF(r=np.full(currents[0, 0].size, 1 / DT), v_threshold=np.full(currents[0, 0].size, 200.0))
    for sample, spikes in zip(currents, spikes_of(ran, program, x), strict=True):
        np.testing.assert_array_equal(euler(flat, sample.reshape(STEPS, -1)), spikes)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_padding_of_even_kernels(size: int, dilation: int, maker, lowered, ran) -> None:
    weight = maker.weights(2, 1, size, 3)
    node = maker.conv(weight, (8, 7), padding="same", dilation=dilation)
    x = maker.spikes(1, STEPS, 1, 8, 7)
    given = [torch.from_numpy(np.asarray(a, np.float64)) for a in (x[0], weight)]
    current = functional.conv2d(*given, padding="same", dilation=dilation).numpy()
    program = lowered(maker.chain((1, 8, 7), {"c": node, "n": maker.neurons(2, 8, 7)}, (2, 8, 7))).program
    flat = nir.IF(r=np.full(112, 1 / DT), v_threshold=np.full(112, 300.0))
    np.testing.assert_array_equal(euler(flat, current.reshape(STEPS, -1)), spikes_of(ran, program, x)[0])


def test_delays_are_steps(maker, lowered, ran) -> None:
    """A delay of each value, before or behind the weights, on chips with and without latency of their own."""
    fc = maker.linear(5, 6)
    delays = np.array([0, 1, 1, 3, 0, 3])
    x = maker.spikes(2, STEPS, 6)
    late = np.zeros_like(x)
    for k, d in enumerate(delays):
        late[:, d:, k] = x[:, : STEPS - d, k]
    nodes = {"d": nir.Delay(delay=delays * DT), "fc": fc, "n": maker.neurons(5)}
    for target in ("loihi2", "int8"):
        program = lowered(maker.chain(6, nodes, 5), target).program
        for sample, spikes in zip(late, spikes_of(ran, program, x), strict=True):
            np.testing.assert_array_equal(euler(nodes["n"], sample @ fc.weight.T), spikes)
    behind = {"fc": fc, "d": nir.Delay(delay=np.full(5, 2 * DT)), "n": maker.neurons(5)}
    program = lowered(maker.chain(6, behind, 5)).program
    assert program.layers[0].edges[0].delay == 2  # the network's own delay takes the chip's step in
    assert program.latency == 0
    moved = np.concatenate([np.zeros((2, 2, 6), np.int64), x[:, :-2]], 1)
    for sample, spikes in zip(moved, spikes_of(ran, program, x), strict=True):
        np.testing.assert_array_equal(euler(nodes["n"], sample @ fc.weight.T), spikes)


def test_delays_that_are_no_whole_steps_are_rounded_and_said(maker, lowered) -> None:
    nodes = {"fc": maker.linear(5, 6), "d": nir.Delay(delay=np.full(5, 2.4 * DT)), "n": maker.neurons(5)}
    found = lowered(maker.chain(6, nodes, 5))
    assert (
        str(found.diagnostics[0]) == "d: a delay of 0.00024 s is 2.4 steps and becomes 2; choose a --dt that divides it"
    )
    with pytest.raises(DoesNotFit, match=r"n from input: delay \(70\) exceeds 63"):
        lowered(maker.chain(6, {**nodes, "d": nir.Delay(delay=np.full(5, 70 * DT))}, 5))


def test_loops_that_are_delayed_enough_fit_a_chip(maker, lowered, ran) -> None:
    """Two layers in a loop take two steps on a chip: with a delay of two in the loop nothing changes."""
    nodes = {
        "in": maker.linear(4, 5), "a": maker.neurons(4), "ab": maker.linear(3, 4), "b": maker.neurons(3),
        "d": nir.Delay(delay=np.full(3, 2 * DT)), "ba": maker.linear(4, 3),
    }  # fmt: skip
    edges = [
        ("input", "in"), ("in", "a"), ("a", "ab"), ("ab", "b"), ("b", "d"), ("d", "ba"), ("ba", "a"), ("b", "output"),
    ]  # fmt: skip
    graph = maker.graph({"input": 5}, nodes, edges, {"output": 3})
    x = maker.spikes(3, STEPS, 5)
    chip, flat = (lowered(graph, target).program for target in ("loihi2", "int8"))
    np.testing.assert_array_equal(spikes_of(ran, chip, x), spikes_of(ran, flat, x))
    assert chip.latency == 2
    network = real_network(graph, options=LowerOptions())
    np.testing.assert_array_equal(run_float(network, {"input": x}).spikes["b"], spikes_of(ran, flat, x))


def test_nested_graphs(maker, lowered, ran) -> None:
    inner = maker.chain(5, {"n": maker.neurons(5), "fc2": maker.linear(3, 5), "m": maker.neurons(3)}, 3)
    middle = maker.chain(5, {"deeper": inner}, 3)
    fc = maker.linear(5, 6)
    nested = lowered(maker.chain(6, {"fc": fc, "sub": middle}, 3)).program
    assert [layer.name for layer in nested.layers] == ["sub/deeper/n", "sub/deeper/m"]
    plain = {"fc": fc, **{name: node for name, node in inner.nodes.items() if name not in ("input", "output")}}
    x = maker.spikes(2, STEPS, 6)
    np.testing.assert_array_equal(
        spikes_of(ran, nested, x), spikes_of(ran, lowered(maker.chain(6, plain, 3)).program, x)
    )


@pytest.mark.parametrize("rule", ["euler", "exponential"])
def test_time_constants_become_decays(rule: Any) -> None:
    """Every conversion from seconds: what is left after a step, and what the input adds."""
    tau, dt = np.array([3e-3]), 1e-3
    left = 1 - 1 / 3 if rule == "euler" else np.exp(-1 / 3)
    assert decay_factor(tau, dt, rule) == pytest.approx(left)
    one = np.ones(1)
    lif = discretize("n", nir.LIF(tau=tau, r=5 * one, v_leak=2 * one, v_threshold=one), dt_s=dt, rule=rule)
    assert (lif.beta, lif.gain, lif.bias) == pytest.approx((left, 5 * (1 - left), 2 * (1 - left)))
    both = discretize(
        "n",
        nir.CubaLIF(
            tau_syn=2 * tau, tau_mem=tau, r=5 * one, v_leak=0 * one, v_threshold=one, w_in=7 * one,
        ),
        dt_s=dt, rule=rule,
    )  # fmt: skip
    slow = 1 - 1 / 6 if rule == "euler" else np.exp(-1 / 6)
    assert (both.alpha, both.beta) == pytest.approx((slow, left))
    assert both.gain == pytest.approx(7 * (1 - slow) * 5 * (1 - left))
    assert discretize("n", nir.IF(r=np.array([5.0]), v_threshold=np.ones(1)), dt_s=dt).gain == pytest.approx(5e-3)


def test_single_values_take_the_shape_of_what_feeds_them(maker, lowered) -> None:
    scalar = nir.LIF(tau=np.array(1e-3), r=np.array(10.0), v_leak=np.array(0.0), v_threshold=np.array(100.0))
    nodes = {"c": maker.conv(maker.weights(2, 1, 3, 3), (6, 5)), "n": scalar}
    layer = lowered(maker.chain((1, 6, 5), nodes, (2, 4, 3))).program.layers[0]
    assert layer.shape == (2, 4, 3)
    rec = {"fc": maker.linear(4, 3), "n": scalar, "w": maker.linear(4, 4)}
    edges = [("input", "fc"), ("fc", "n"), ("n", "w"), ("w", "n"), ("n", "output")]
    assert lowered(maker.graph({"input": 3}, rec, edges, {"output": 4})).program.layers[0].shape == (4,)


def test_event_counts_as_input(maker, lowered, ran) -> None:
    fc = maker.linear(4, 3)
    program = lowered(maker.chain(3, {"fc": fc, "n": maker.neurons(4, theta=900.0)}, 4), input_max=7).program
    assert program.inputs[0].high == 7
    x = maker.rng.integers(0, 8, (2, STEPS, 3))
    node = nir.IF(r=np.full(4, 1 / DT), v_threshold=np.full(4, 900.0))
    for sample, spikes in zip(x, spikes_of(ran, program, x), strict=True):
        np.testing.assert_array_equal(euler(node, sample @ fc.weight.T), spikes)


LINEARS = {
    "scale": lambda maker: nir.Scale(scale=maker.rng.integers(1, 4, (2, 6, 6)).astype(np.float64)),
    "scale by channel": lambda maker: nir.Scale(scale=np.ones((2, 6, 6)) * np.array([2.0, 3]).reshape(2, 1, 1)),
    "sum pool": lambda maker: maker.pool(nir.SumPool2d, (2, 2)),
    "overlapping pool": lambda maker: maker.pool(nir.SumPool2d, (3, 2), (1, 2)),
    "padded pool": lambda maker: maker.pool(nir.AvgPool2d, (3, 3), (2, 2), padding=1),
    "convolution": lambda maker: maker.conv(maker.weights(3, 2, 2, 3, top=5), (6, 6), bias=np.array([1.0, 2, 3])),
    "grouped": lambda maker: maker.conv(maker.weights(4, 1, 3, 3, top=5), (6, 6), groups=2, padding=1, stride=2),
}


def torch_apply(node: Any, x: torch.Tensor) -> torch.Tensor:
    """A linear NIR node by PyTorch."""
    if isinstance(node, nir.Scale):
        return x * torch.from_numpy(node.scale)
    if isinstance(node, nir.Flatten):
        return x.flatten(1)
    if isinstance(node, nir.Affine):
        return x.flatten(1) @ torch.from_numpy(np.asarray(node.weight, np.float64)).T + torch.from_numpy(node.bias)
    if isinstance(node, nir.Conv2d):
        weight, bias = (torch.from_numpy(np.asarray(a, np.float64)) for a in (node.weight, node.bias))
        return functional.conv2d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)
    pooled = functional.avg_pool2d(x, tuple(node.kernel_size), tuple(node.stride), tuple(node.padding))
    return pooled * (np.prod(node.kernel_size) if isinstance(node, nir.SumPool2d) else 1)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(LINEARS, LINEARS)))
def test_linear_nodes_in_a_row(first: str, second: str, maker) -> None:
    """Any two of them, then a linear layer: exactly what PyTorch computes one after the other."""
    x = maker.rng.integers(0, 3, (3, 2, 6, 6))
    nodes, value = {}, torch.from_numpy(x.astype(np.float64))
    for name in (first, second):
        node = LINEARS[name](maker)
        if isinstance(node, nir.Scale):
            node = nir.Scale(scale=np.resize(node.scale, value.shape[1:]))
        if isinstance(node, nir.Conv2d):
            channels = value.shape[1] // node.groups if value.shape[1] % node.groups == 0 else None
            if channels is None:
                pytest.skip("channels do not divide into groups")
            node.weight = np.resize(node.weight, (len(node.weight), channels, *node.weight.shape[2:]))
        if min(value.shape[2:]) < 3:
            pytest.skip("too small for another window")
        nodes[f"x{len(nodes)}"] = node
        value = torch_apply(node, value)
    nodes["fc"] = maker.linear(4, value[0].numel(), bias=[1.0, -2, 3, 0])
    value = torch_apply(nodes["fc"], value)
    nodes["n"] = maker.neurons(4)
    network = real_network(maker.chain((2, 6, 6), nodes, 4), options=LowerOptions())
    (layer,) = network.layers
    (connection,) = layer.connections
    np.testing.assert_allclose(
        connection.map.apply(x.reshape(3, -1).astype(np.float64)) + layer.bias, value.numpy(), rtol=1e-9
    )


def test_a_pool_then_flatten_then_neurons(maker, lowered, ran) -> None:
    nodes = {"p": maker.pool(nir.SumPool2d, (2, 2)), "f": maker.flatten(2, 2, 2), "n": maker.neurons(8, theta=2.5)}
    x = maker.spikes(2, STEPS, 2, 4, 4)
    pooled = x.reshape(2, STEPS, 2, 2, 2, 2, 2).sum((4, 6)).reshape(2, STEPS, 8)
    for sample, spikes in zip(
        pooled, spikes_of(ran, lowered(maker.chain((2, 4, 4), nodes, 8)).program, x), strict=True
    ):
        np.testing.assert_array_equal(euler(nodes["n"], sample), spikes)
