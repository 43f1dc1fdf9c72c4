"""Torch to NIR: what stands in the graph, and that it means the same network."""

import itertools
import warnings
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch import nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import GraphInfo, load_nir, read_info, save_nir
from neuroprivacy.graph.metadata import DEFAULT_DT_S, PREFIX
from neuroprivacy.lowering import lower
from neuroprivacy.lowering.discretize import derive_dt, discretize
from neuroprivacy.networks import SpikingNetwork, SpikingSpec, build_snn, model_spec


def network(family: str = "convnet", **fields: object) -> SpikingNetwork:
    shape = (1, 8, 8) if family == "convnet" else (12,)
    model = model_spec(
        family, input_shape=shape, classes=3, hidden=(7,), width=0.2, bias=bool(fields.pop("bias", False)),
        dropout=0.3,
    )  # fmt: skip
    net = build_snn(model, SpikingSpec(time_steps=6, **fields)).eval()
    with torch.no_grad():
        for i, neuron in enumerate(net.neurons().values()):
            neuron.threshold.fill_(0.5 + i)
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-1, 1)
    return net


@pytest.mark.parametrize("readout", ["membrane", "spike_count"])
def test_the_graph_is_the_chain_of_layers_without_dropout(readout: str) -> None:
    graph = to_nir(network(readout=readout))
    names = ["input", "conv1", "act1", "pool1", "conv2", "act2", "pool2", "flatten", "fc1", "fcact1", "out"]
    names += ["outact"] * (readout == "spike_count") + ["output"]
    assert list(graph.nodes) == names
    assert graph.edges == list(itertools.pairwise(names))
    kinds = [type(graph.nodes[n]).__name__ for n in names[1:5]]
    assert kinds == ["Conv2d", "IF", "AvgPool2d", "Conv2d"]


@pytest.mark.parametrize("beta", [1.0, 0.9])
def test_neuron_parameters_have_the_full_shape(beta: float) -> None:
    net = network(beta=beta)
    graph = to_nir(net)
    shapes = {"act1": (3, 8, 8), "act2": (6, 4, 4), "fcact1": (7,)}
    for name, shape in shapes.items():
        node = graph.nodes[name]
        assert isinstance(node, nir.IF if beta == 1 else nir.LIF)
        fields = ["r", "v_threshold", "v_reset"] + (["tau", "v_leak"] if beta < 1 else [])
        assert all(getattr(node, field).shape == shape for field in fields)
        assert np.all(node.v_threshold == float(net.neurons()[name].threshold))
        assert not node.v_reset.any()


@pytest.mark.parametrize("beta", [1.0, 0.99, 0.5])
@pytest.mark.parametrize("dt_s", [DEFAULT_DT_S, 1e-3])
def test_constants_give_back_beta_and_a_gain_of_one(beta: float, dt_s: float) -> None:
    graph = to_nir(network(beta=beta), dt_s=dt_s)
    for name in ("act1", "act2", "fcact1"):
        step = discretize(name, graph.nodes[name], dt_s=dt_s)
        np.testing.assert_allclose(step.beta, beta, rtol=1e-6)
        np.testing.assert_allclose(step.gain, 1, rtol=1e-6)
        assert not step.bias.any()
    assert derive_dt(graph) == (pytest.approx(dt_s, rel=1e-6), ())


@pytest.mark.parametrize("bias", [False, True])
def test_linear_maps_are_the_networks(bias: bool) -> None:
    net = network(bias=bias)
    graph = to_nir(net)
    for name in ("fc1", "out"):
        assert isinstance(graph.nodes[name], nir.Affine if bias else nir.Linear)
        np.testing.assert_array_equal(graph.nodes[name].weight, getattr(net.layers, name).weight.detach())
    for name in ("conv1", "conv2"):
        conv = getattr(net.layers, name)
        expected = conv.bias.detach().numpy() if bias else np.zeros(conv.out_channels)
        np.testing.assert_array_equal(graph.nodes[name].weight, conv.weight.detach())
        np.testing.assert_array_equal(graph.nodes[name].bias, expected)


@pytest.mark.parametrize("fields", [{}, {"beta": 0.9, "bias": True}, {"readout": "spike_count"}, {"reset": "soft"}])
def test_a_file_holds_the_same_graph(fields: dict, tmp_path: Path) -> None:
    graph = to_nir(network(**fields))
    found = load_nir(save_nir(graph, tmp_path / "deep" / "network.nir"))
    assert set(found.edges) == set(graph.edges)
    assert found.nodes.keys() == graph.nodes.keys()
    for name, node in graph.nodes.items():
        other = found.nodes[name]
        assert type(other) is type(node)
        for field in ("weight", "bias", "tau", "r", "v_leak", "v_threshold", "v_reset", "kernel_size", "stride"):
            if hasattr(node, field):
                np.testing.assert_array_equal(getattr(other, field), getattr(node, field))
    assert read_info(found) == read_info(graph)


def test_metadata_says_what_nir_cannot(tmp_path: Path) -> None:
    graph = to_nir(network(reset="soft", coding="direct", readout="spike_count"), dt_s=2e-3)
    found = load_nir(save_nir(graph, tmp_path / "a.nir"))
    assert read_info(found) == GraphInfo(
        dt_s=2e-3,
        reset="soft",
        readout="spike_count",
        coding="direct",
        time_steps=6,
        readout_beta=1.0,
        schedule="ideal",
    )
    text = found.metadata[PREFIX + "warning"]
    assert "resets them to zero and will compute fewer spikes" in str(text)
    assert PREFIX + "warning" not in to_nir(network()).metadata


def test_a_graph_without_metadata_says_nothing() -> None:
    graph = to_nir(network())
    graph.metadata = {}
    assert read_info(graph) == GraphInfo()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reset", "none"), ("coding", "latency"), ("readout", "mean"), ("dt_s", -1.0), ("dt_s", float("nan")),
        ("dt_s", "soon"), ("steps", 0), ("steps", 1.5), ("steps", [1, 2]),
    ],
)  # fmt: skip
def test_metadata_that_is_not_known_is_refused(field: str, value: object) -> None:
    graph = to_nir(network())
    graph.metadata[PREFIX + field] = value
    with pytest.raises(UnsupportedNode, match=f"graph: metadata {field} "):
        read_info(graph)


def test_a_layer_without_a_form_is_refused() -> None:
    net = network("mlp")
    net.layers["out"] = nn.Softmax(1)
    with pytest.raises(UnsupportedNode, match="out: Softmax has no NIR form here; replace it"):
        to_nir(net)


def test_snntorch_reads_our_file_and_fires_the_same(tmp_path: Path) -> None:
    """Another framework, for what both can say: hard reset with leak."""
    from snntorch.import_nir import import_from_nir

    net = network("mlp", beta=0.9, readout="spike_count")
    graph = load_nir(save_nir(to_nir(net), tmp_path / "a.nir"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = import_from_nir(graph)
    x = (torch.rand(6, 5, 12, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    expected = net(x).readout
    state, total = None, torch.zeros(5, 3)
    with torch.no_grad():
        for step in x:
            spikes, state = theirs(step, state)
            total += spikes
    assert expected.sum() > 0
    assert torch.equal(total, expected)


def test_a_kernel_that_is_not_square_survives_the_file(tmp_path: Path) -> None:
    """nir's own check takes one side of a kernel for both, and refuses such networks."""
    import snntorch

    conv = nn.Conv2d(1, 3, (3, 1), padding=(1, 0))
    options = {"beta": 0.5, "init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
    net = nn.Sequential(conv, snntorch.Leaky(**options), nn.Flatten(), nn.Linear(48, 2))
    graph = load_nir(save_nir(to_nir(net, input_shape=(1, 4, 4)), tmp_path / "a.nir"))
    assert lower(graph, target="loihi2").program.layers[0].shape == (3, 4, 4)
