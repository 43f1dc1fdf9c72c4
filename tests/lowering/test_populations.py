"""Populations: cutting a layer changes nothing but the units that its parts may have."""

import itertools
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.divergence import trace
from neuroprivacy.kernels.channel_groups import TOLERATED, group_by_unit
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.targets.spec import load_target, target_from_dict

#: Loihi 2 if its neurons had thresholds and decays of their own: the same network, in one piece.
WHOLE = target_from_dict({**load_target("loihi2").to_dict(), "name": "whole", "threshold_per": "neuron"}, where="test")


def decays(maker: Any, *shape: int, classes: int, theta: float = 300.0) -> Any:
    """Leaky neurons whose channels have that many decays."""
    node = maker.neurons(*shape, theta=theta, beta=0.9)
    factor = (1 + np.arange(shape[0]) % classes).reshape(-1, *[1] * (len(shape) - 1)) * np.ones(shape)
    node.tau, node.r = node.tau * factor, node.r * factor
    return node


def networks(maker: Any) -> dict[str, nir.NIRGraph]:
    """Everything that an edge into or out of a population can be."""
    conv = maker.conv(maker.weights(6, 2, 3, 3), (6, 6), padding=1)
    after = maker.conv(maker.weights(4, 6, 2, 2), (3, 3))
    last = {"fc": maker.linear(5, 16), "out": maker.neurons(5, theta=900.0)}
    feed = maker.chain(
        (2, 6, 6),
        {
            "c": conv, "n": decays(maker, 6, 6, 6, classes=3), "p": maker.pool(nir.AvgPool2d, (2, 2)), "d": after,
            "m": decays(maker, 4, 2, 2, classes=2), "f": maker.flatten(4, 2, 2), **last,
        },
        5,
    )  # fmt: skip
    loop = maker.graph(
        {"input": [8]},
        {"a": maker.linear(6, 8), "n": decays(maker, 6, classes=3), "w": maker.linear(6, 6), "b": maker.linear(3, 6),
         "out": maker.neurons(3, theta=500.0)},
        [("input", "a"), ("a", "n"), ("n", "w"), ("w", "n"), ("n", "b"), ("b", "out"), ("out", "output")],
        {"output": [3]},
    )  # fmt: skip
    join = maker.graph(
        {"input": [2, 4, 4]},
        {"c": maker.conv(maker.weights(4, 2, 3, 3), (4, 4), padding=1), "n": decays(maker, 4, 4, 4, classes=2),
         "d": maker.conv(maker.weights(4, 4, 3, 3), (4, 4), padding=1), "m": decays(maker, 4, 4, 4, classes=4),
         "f": maker.flatten(4, 4, 4), "g": maker.flatten(4, 4, 4), "fc": maker.linear(3, 64),
         "fd": maker.linear(3, 64), "out": maker.neurons(3, theta=2000.0)},
        [("input", "c"), ("c", "n"), ("n", "d"), ("d", "m"), ("m", "f"), ("n", "g"), ("f", "fc"), ("g", "fd"),
         ("fc", "out"), ("fd", "out"), ("out", "output")],
        {"output": [3]},
    )  # fmt: skip
    return {"feed": feed, "loop": loop, "join": join}


@pytest.mark.parametrize("name", ["feed", "loop", "join"])
def test_populations_compute_what_the_layer_computes(name: str, maker: Any, ran: Any) -> None:
    graph = networks(maker)[name]
    options = LowerOptions(dt_s=1e-4, per_channel=False, rounding="nearest")
    whole = lower(graph, target=WHOLE, options=options)
    cut = lower(graph, target="loihi2", options=options)
    assert cut.real_network.populations
    size = next(iter(cut.program.inputs)).size
    x = maker.spikes(3, 30, size, rate=0.4)
    one, other = ran(whole.program, x), ran(cut.program, x)
    for layer in whole.program.layers:
        parts = cut.real_network.populations.get(layer.name, {layer.name: np.arange(layer.size)})
        assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(layer.size))
        for part, neurons in parts.items():
            for kind in ("layer_spikes", "states_u", "states_v"):
                np.testing.assert_array_equal(getattr(other, kind)[part], getattr(one, kind)[layer.name][..., neurons])
    assert any(one.layer_spikes[layer.name].any() for layer in whole.program.layers)


def uneven(maker: Any) -> nir.NIRGraph:
    """A convolution with a few channels whose weights are far larger than the others'."""
    weight = maker.rng.normal(size=(12, 2, 3, 3)) * np.where(np.arange(12) < 2, 30.0, 1.0).reshape(-1, 1, 1, 1)
    nodes = {
        "c": maker.conv(weight, (6, 6), padding=1), "n": maker.neurons(12, 6, 6, theta=60.0),
        "f": maker.flatten(12, 6, 6), "fc": maker.linear(4, 432), "out": maker.neurons(4, theta=3000.0),
    }  # fmt: skip
    return maker.chain((2, 6, 6), nodes, 4)


def test_channels_with_finer_weight_scales_become_populations(maker: Any, lowered: Any) -> None:
    one, two = (lowered(uneven(maker), weight_bits=4, populations=n) for n in (1, 2))
    assert not one.real_network.populations
    (name, parts) = next(iter(two.real_network.populations.items()))
    assert name == "n"
    assert list(parts) == ["n.1", "n.2"]
    assert np.unique(parts["n.2"] // 36).tolist() == [0, 1]
    assert [layer.name for layer in two.program.layers] == ["n.1", "n.2", "out"]
    assert len({layer.scale[0] for layer in two.program.layers[:2]}) == 2
    small, unsplit = two.real_network.layers[0], one.real_network.layers[0]
    errors = [float(((c.q_weight * small.weight_scale[0] - c.map.weight) ** 2).sum()) for c in small.connections]
    (connection,) = unsplit.connections
    rows = connection.q_weight[2:] * unsplit.weight_scale[0] - connection.map.weight[2:]
    assert sum(errors) < float((rows**2).sum()) / 30


def test_even_layers_and_results_stay_in_one_piece(maker: Any, lowered: Any) -> None:
    graph = maker.chain(20, {"fc": maker.linear(30, 20), "n": maker.neurons(30), "g": maker.linear(4, 30),
                             "out": maker.neurons(4)}, 4)  # fmt: skip
    assert not lowered(graph, weight_bits=4).real_network.populations
    graph = maker.chain(20, {"fc": maker.linear(3, 20), "n": decays(maker, 3, classes=3)}, 3)
    with pytest.raises(UnsupportedNode, match=r"n: decay differs by neuron .* --constants mean, train it per layer"):
        lowered(graph, dt_s=1e-4)


def test_too_many_decays_are_refused_with_the_option(maker: Any, lowered: Any) -> None:
    nodes = {"fc": maker.linear(6, 8), "n": decays(maker, 6, classes=6), "g": maker.linear(2, 6),
             "out": maker.neurons(2)}  # fmt: skip
    with pytest.raises(UnsupportedNode, match=r"n: decay differs by neuron .* allow more --populations"):
        lowered(maker.chain(8, nodes, 2), dt_s=1e-4)
    assert len(lowered(maker.chain(8, nodes, 2), dt_s=1e-4, populations=6).real_network.populations["n"]) == 6
    with pytest.raises(ConfigurationError, match="populations: 0 is below 1"):
        LowerOptions(populations=0)


def test_names_stay_unique(maker: Any, lowered: Any) -> None:
    nodes = {"fc": maker.linear(6, 8), "n": decays(maker, 6, classes=2), "g": maker.linear(2, 6),
             "n.1": maker.neurons(2)}  # fmt: skip
    names = [layer.name for layer in lowered(maker.chain(8, nodes, 2), dt_s=1e-4).program.layers]
    assert names == ["n.1'", "n.2", "n.1"]


def test_a_trace_compares_populations(maker: Any, lowered: Any) -> None:
    found = lowered(uneven(maker), weight_bits=4, populations=2)
    result = trace(found, between=("float", "reference"), inputs={"input": maker.spikes(2, 12, 72)})
    assert [layer.layer for layer in result.layers] == ["n.1", "n.2", "out"]
    spikes = {"n": maker.spikes(2, 12, 432).astype(np.uint8), "out": maker.spikes(2, 12, 4).astype(np.uint8)}
    beside = trace(
        found, between=("torch", "reference"), inputs={"input": maker.spikes(2, 12, 72)}, torch_run=lambda _: spikes
    )
    for layer, (name, neurons) in zip(beside.layers, found.real_network.populations["n"].items(), strict=False):
        assert (layer.layer, layer.rates[0]) == (name, pytest.approx(spikes["n"][..., neurons].mean()))


@given(units=st.lists(st.integers(0, 40), min_size=1, max_size=7), most=st.integers(1, 4))
@settings(max_examples=200)
def test_the_cut_is_the_best(units: list[int], most: int) -> None:
    """Against all ways to cut the sorted rows; the least number of groups that is good enough is taken."""
    wanted = 2.0 ** (np.array(units) / 8)
    group = group_by_unit(wanted, 1e-6, most=most)
    assert group.max() < most

    def cost(cuts: tuple[int, ...]) -> float:
        """Sum over groups of the squared largest unit."""
        parts = np.split(np.sort(wanted), cuts)
        return sum(len(part) * part.max() ** 2 for part in parts if len(part))

    count = int(group.max()) + 1
    best = min(
        cost(cuts) for n in range(most) for cuts in itertools.combinations(range(1, len(wanted)), n) if n <= len(wanted)
    )
    largest = np.array([wanted[group == i].max() for i in range(count)])
    found = float((largest[group] ** 2).sum())
    if count > 1:
        exact = min(cost(cuts) for cuts in itertools.combinations(range(1, len(wanted)), count - 1))
        assert found == pytest.approx(exact)
        assert found <= 1.3 * best * (1 + 1e-9)
    else:
        assert found <= 2 * best * (1 + 1e-9)


def test_little_noise_is_worth_no_population() -> None:
    wanted = np.array([1.0, 1.0, 10.0])
    assert group_by_unit(wanted, 10 / TOLERATED, most=4).max() == 0
    assert group_by_unit(wanted, 0.1 / TOLERATED, most=4).max() == 1
