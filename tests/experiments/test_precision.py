"""The precision experiment on little data: it runs, keeps what it made, and its recurrent network is its NIR graph."""

import dataclasses
from pathlib import Path

import nir
import numpy as np
import pytest
import torch

from neuroprivacy.data import Dataset, load_dataset
from neuroprivacy.experiments.first_layer import limited_channels
from neuroprivacy.experiments.image_network import Network
from neuroprivacy.experiments.precision import catalogue, measure, page, runner
from neuroprivacy.experiments.recurrent import Rows, rows
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import GraphInfo
from neuroprivacy.lowering import LowerOptions, lower, real_network
from neuroprivacy.lowering.float_run import run_float
from neuroprivacy.networks.noise import noisy
from neuroprivacy.networks.recurrent import recurrent_network
from neuroprivacy.training import event_logits


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_dataset("digits")

    def load(name: str, *, data_root: Path | None) -> Dataset:
        """A few digits."""
        return dataclasses.replace(
            digits, train_images=digits.train_images[:96], train_labels=digits.train_labels[:96],
            test_images=digits.test_images[:40], test_labels=digits.test_labels[:40],
        )  # fmt: skip

    monkeypatch.setattr(runner, "load_dataset", load)
    monkeypatch.setattr(catalogue, "CALIBRATION", 20)
    small = {"dataset": "digits", "epochs": 1, "quantized_epochs": 1}
    monkeypatch.setitem(catalogue.NETWORKS, "mnist", Network(family="convnet", steps=4, width=0.5, **small))
    monkeypatch.setitem(catalogue.NETWORKS, "mnist-rows", Rows(hidden=16, batch_size=32, **small))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "mnist-rows"])
def test_it_measures_keeps_and_writes(name: str, little: None, tmp_path: Path) -> None:
    ways = ("8 bits", "4 bits, calibrated", "4 bits, trained")
    options = {"reset": "hard", "seed": 0, "folder": tmp_path / "run", "data_root": None}
    found = measure(name, ways=ways, **options)
    again = measure(name, ways=ways, **options)
    assert found["ways"] == again["ways"]
    assert set(found["sensitivity"]) == {str(size) for size in catalogue.NOISE}
    assert set(found["first_sensitivity"]) == {str(size) for size in catalogue.FIRST_NOISE}
    assert ("limited" in found) == (name == "mnist")  # rows of spikes are no graded input
    assert found["ways"]["4 bits, trained"]["differing_from_itself"] <= 4
    text = page([found], command="x")
    row = next(line for line in text.splitlines() if found["title"] in line)
    assert row.count("not run") == len(catalogue.WAYS) - len(ways)
    assert "missed" in text or "met" in text


def test_the_recurrent_network_is_its_graph() -> None:
    """Spikes of the hidden layer and predictions, float against float; and the loop costs one step."""
    net = recurrent_network(inputs=8, hidden=24, outputs=4, time_steps=12, seed=0)
    with torch.no_grad():
        for name in ("w", "v"):
            net.layers[name].weight.mul_(3)  # type: ignore[operator,union-attr]
    x = (np.random.default_rng(0).random((20, 12, 8)) < 0.4).astype(np.float32)
    network = real_network(to_nir(net), options=LowerOptions())
    run = run_float(network, {"input": x.astype(np.int64)})
    assert 0.02 < run.spikes["hidden"].mean() < 0.6
    np.testing.assert_allclose(run.v["readout"][:, -1], event_logits(net, x), rtol=1e-3, atol=1e-3)
    program = lower(to_nir(net), target="loihi2").program
    assert (program.latency, program.readout) == (2, "membrane")
    assert any(edge.source == layer.name for layer in program.layers for edge in layer.edges) or len(program.layers) > 2


def test_rows_are_pixels_above_one_half() -> None:
    images = np.array([[[[0.2, 0.6], [0.5, 1.0]]]], np.float32)
    assert rows(images).tolist() == [[[0.0, 1.0], [0.0, 1.0]]]


def test_the_chip_bounds_the_units_of_a_first_layer_of_many_graded_inputs() -> None:
    """255 levels times |w| = 1 of n inputs have to stay below 2^17: at 127 units a weight, n may be 4."""
    for inputs, bounded in ((4, 0), (5, 3)):
        graph = nir.NIRGraph(
            nodes={
                "input": nir.Input(input_type={"input": np.array([inputs])}),
                "fc": nir.Linear(weight=np.ones((3, inputs), np.float32)),
                "n": nir.IF(r=np.ones(3), v_threshold=np.ones(3)),
                "output": nir.Output(output_type={"output": np.array([3])}),
            },
            edges=[("input", "fc"), ("fc", "n"), ("n", "output")],
            metadata=GraphInfo(dt_s=1.0, coding="direct", time_steps=4).to_metadata(),
        )
        assert limited_channels(graph, target="loihi2", bits=8, steps=4) == (bounded, 3)
        assert limited_channels(graph, target="int8", bits=8, steps=4) == (0, 3)


def test_noise_in_the_first_layers_alone() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    first, _, second, _ = net.parameters()
    noisy_first, _, same, _ = noisy(net, 0.1, layers=1).parameters()
    assert not torch.equal(noisy_first, first)
    assert torch.equal(same, second)
    assert torch.equal(next(noisy(net, 0.1).parameters()), noisy_first)
