"""Faults that a review found, pinned so that they stay mended."""

import itertools
from dataclasses import replace

import nir
import numpy as np
import pytest
import torch

from neuroprivacy.core.errors import DoesNotFit, UnsupportedNode
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import load_nir, save_nir
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.networks import SpikingSpec, build_snn, model_spec

DT = 1e-4


def neurons(count: int, beta: float = 1.0) -> nir.NIRNode:
    one = np.ones(count)
    if beta == 1:
        return nir.IF(r=one / DT, v_threshold=10 * one, v_reset=0 * one)
    tau = DT / (1 - beta)
    return nir.LIF(tau=tau * one, r=tau / DT * one, v_leak=0 * one, v_threshold=10 * one, v_reset=0 * one)


def graph(nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], inputs: int, outputs: int) -> nir.NIRGraph:
    ends = {"input": nir.Input({"input": np.array([inputs])}), "output": nir.Output({"output": np.array([outputs])})}
    return nir.NIRGraph(nodes={**ends, **nodes}, edges=edges, type_check=False)


def test_a_linear_node_that_two_sources_feed_has_one_bias() -> None:
    nodes = {
        "first": nir.Linear(weight=np.full((2, 2), 100.0)),
        "second": nir.Linear(weight=np.full((2, 2), 50.0)),
        "a": neurons(2),
        "b": neurons(2),
        "fc": nir.Affine(weight=np.full((1, 2), 127.0), bias=np.array([3.0])),
        "c": neurons(1),
    }
    edges = [
        ("input", "first"), ("input", "second"), ("first", "a"), ("second", "b"), ("a", "fc"), ("b", "fc"),
        ("fc", "c"), ("c", "output"),
    ]  # fmt: skip
    layer = lower(graph(nodes, edges, 2, 1), target="int8").program.layer("c")
    assert len(layer.edges) == 2
    assert layer.bias.tolist() == [round(3.0 / layer.scale[0])]


def test_a_loop_through_two_layers_is_refused_where_every_edge_costs_a_step() -> None:
    nodes = {
        "in": nir.Linear(weight=np.full((2, 2), 100.0)),
        "a": neurons(2),
        "ab": nir.Linear(weight=np.full((2, 2), 100.0)),
        "b": neurons(2),
        "ba": nir.Linear(weight=np.full((2, 2), -50.0)),
    }
    edges = [("input", "in"), ("in", "a"), ("a", "ab"), ("ab", "b"), ("b", "ba"), ("ba", "a"), ("b", "output")]
    looped = graph(nodes, edges, 2, 2)
    with pytest.raises(
        DoesNotFit, match="the loop b <- a <- b takes 2 steps on this target, more than the network delays it"
    ):
        lower(looped, target="loihi2")
    assert lower(looped, target="int8").program.layer("a").edges[1].delay == 1


def test_a_readout_needs_a_leak_that_is_stated_or_shared(tmp_path) -> None:
    nodes = {
        "first": nir.Linear(weight=np.full((2, 2), 100.0)),
        "z": neurons(2, 0.5),
        "second": nir.Linear(weight=np.full((2, 2), 100.0)),
        "B": neurons(2, 0.9),
        "last": nir.Linear(weight=np.full((1, 2), 1.0)),
    }
    order = ["input", "first", "z", "second", "B", "last", "output"]
    with pytest.raises(UnsupportedNode, match="last: a readout takes the leak of the network's neurons"):
        lower(graph(nodes, list(itertools.pairwise(order)), 2, 1), target="loihi2")
    net = build_snn(model_spec("mlp", input_shape=(3,), classes=2, hidden=(4,)), SpikingSpec(beta=0.9, time_steps=4))
    for read in (to_nir(net), load_nir(save_nir(to_nir(net), tmp_path / "a.nir"))):
        assert lower(read, target="loihi2").program.layers[-1].dv.tolist() == [round(0.1 * 4096)]


def test_a_network_trained_for_the_chips_schedule_keeps_its_bias_timing() -> None:
    torch.manual_seed(0)
    model, spec = model_spec("mlp", input_shape=(3,), classes=2, hidden=(4,), bias=True), SpikingSpec(time_steps=4)
    aligned, uncorrected = build_snn(model, spec), build_snn(model, replace(spec, schedule="chip"))
    for net in (aligned, uncorrected):
        torch.nn.init.constant_(net.layers.fc1.bias, 0.1)
    assert lower(to_nir(aligned), target="loihi2").program.layers[0].v_init.any()
    assert not lower(to_nir(uncorrected), target="loihi2").program.layers[0].v_init.any()
    x = torch.rand(4, 2, 3)
    assert torch.equal(uncorrected(x).readout, uncorrected(x, schedule="chip").readout)


def test_steps_prove_ranges_and_leave_the_encoder_alone() -> None:
    net = build_snn(model_spec("mlp", input_shape=(3,), classes=2, hidden=(4,)), SpikingSpec(time_steps=8))
    program = lower(to_nir(net), target="loihi2", options=LowerOptions(time_steps=64)).program
    assert program.encoder["steps"] == 8
    assert program.max_steps is not None
    assert program.max_steps >= 64


def test_a_first_layer_bias_under_direct_coding_widens_the_scale() -> None:
    model = model_spec("mlp", input_shape=(20,), classes=2, hidden=(4,), bias=True)
    net = build_snn(model, SpikingSpec(coding="direct"))
    with torch.no_grad():
        net.layers.fc1.bias.fill_(float(net.layers.fc1.weight.abs().max()))
    layer = lower(to_nir(net), target="loihi2").program.layers[0]
    wanted = float(net.layers.fc1.weight.detach().abs().max())
    assert layer.bias[0] * layer.scale[0] / 64 == pytest.approx(wanted, rel=1e-3)


def test_a_leak_too_slow_for_twelve_bits_gives_a_diagnostic() -> None:
    nodes = {"fc": nir.Linear(weight=np.full((2, 2), 100.0)), "n": neurons(2, 0.9999)}
    order = ["input", "fc", "n", "output"]
    lowered = lower(graph(nodes, list(itertools.pairwise(order)), 2, 2), target="loihi2")
    assert lowered.program.layers[0].dv.tolist() == [0]
    assert any("the membrane decay of 0.0001 a step becomes 0/4096" in str(issue) for issue in lowered.diagnostics)


@pytest.mark.slow
def test_rounding_cannot_drive_a_graded_layer_past_its_current() -> None:
    torch.manual_seed(1)
    for seed in range(20):
        torch.manual_seed(seed)
        net = build_snn(model_spec("mlp", input_shape=(60,), classes=2, hidden=(8,)), SpikingSpec(coding="direct"))
        layer = lower(to_nir(net), target="loihi2").program.layers[0]
        weight = layer.edges[0].map.weight
        assert 255 * int(np.maximum(weight, 0).sum(1).max()) <= 2**17 - 1
        assert 255 * int(np.maximum(-weight, 0).sum(1).max()) <= 2**17 - 1
