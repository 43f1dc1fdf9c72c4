"""`trace`, `quantize` and the options of lowering, from the command line."""

import itertools
import json
from pathlib import Path

import nir
import numpy as np
import pytest

from neuroprivacy.data import save_spikes
from neuroprivacy.graph import save_nir

DT = 1e-3


@pytest.fixture
def network(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    one = np.ones(6)
    nodes = {
        "input": nir.Input({"input": np.array([9])}), "fc": nir.Linear(weight=rng.normal(0.3, 1, (6, 9))),
        "n": nir.CubaLIF(
            tau_syn=2 * DT * one, tau_mem=10 * DT * one, r=10 * one, v_leak=0 * one, v_threshold=3 * one,
            v_reset=0 * one, w_in=2 * one,
        ),
        "output": nir.Output({"output": np.array([6])}),
    }  # fmt: skip
    graph = nir.NIRGraph(nodes=nodes, edges=list(itertools.pairwise(nodes)), type_check=False)
    return save_nir(graph, tmp_path / "net.nir")


@pytest.fixture
def spikes(tmp_path: Path) -> Path:
    path = tmp_path / "in.npz"
    save_spikes(path, spikes=(np.random.default_rng(0).random((3, 40, 9)) < 0.3).astype(np.uint8))
    return path


@pytest.mark.slow
def test_the_first_divergence_and_its_page(network: Path, spikes: Path, tmp_path: Path, cli) -> None:
    out = tmp_path / "trace"
    found = cli("trace", network, "--input", spikes, "--weight-bits", "ternary", "--out", out, "--json").json
    assert found["identical"] is False
    assert found["first"]["layer"] == "n"
    assert found["first"]["causes"]
    assert json.loads((out / "trace.json").read_text())["sentence"] == found["sentence"]
    page = (out / "trace.html").read_text()
    assert found["sentence"] in page.replace("&#39;", "'")
    assert "<svg" in page
    text = cli("trace", network, "--input", spikes, "--weight-bits", "ternary", "--out", out)
    assert text.out.startswith("float and reference diverge at input step")


def test_backends_agree(network: Path, spikes: Path, tmp_path: Path, cli) -> None:
    ended = cli(
        "trace", network, "--input", spikes, "--between", "reference,fixedpoint", "--out", tmp_path / "t", "--json"
    )
    assert ended.json["identical"] is True
    assert "Never" in (tmp_path / "t" / "trace.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--between", "float"], "trace: --between names 1 sides; give two"),
        (["--between", "float,chip"], "trace: 'chip' is no run"),
        (["--between", "float,torch"], "trace: torch needs one of our checkpoints"),
        (["--weight-bits", "9"], "weight bits: 9 is not in 2 ... 8"),
        (["--weight-bits", "many"], "'many' is neither a number of bits nor 'ternary'"),
        (["--dt", "-1"], "dt: -1.0 s is not a positive time step"),
        (["--target", "int8"], "n: keeps a synaptic current, int8 does not"),
    ],
)
def test_what_cannot_be_traced(
    words: list[str], message: str, network: Path, spikes: Path, tmp_path: Path, cli
) -> None:
    ended = cli("trace", network, "--input", spikes, "--out", tmp_path / "t", *words)
    assert ended.code == 2
    assert message in ended.err
    assert not (tmp_path / "t").exists()


def test_either_samples_or_spikes(network: Path, tmp_path: Path, cli) -> None:
    ended = cli("trace", network, "--out", tmp_path / "t")
    assert ended.code == 2
    assert "trace: give either --dataset or --input" in ended.err


def test_calibration_from_spikes(network: Path, spikes: Path, tmp_path: Path, cli) -> None:
    words = ("export", network, "--backend", "fixedpoint", "--weight-bits", 3)
    plain = cli(*words, "--out", tmp_path / "a", "--json").json
    tuned = cli(*words, "--calibration", spikes, "--out", tmp_path / "b", "--json").json
    assert plain["content_hash"] != tuned["content_hash"]
    refused = cli(*words, "--calibration", tmp_path / "none.npz", "--out", tmp_path / "c")
    assert refused.code == 3


@pytest.mark.slow
def test_training_on_at_a_width(tmp_path: Path, cli) -> None:
    snn, out = tmp_path / "snn", tmp_path / "four"
    train = ("train", "--dataset", "digits", "--model", "mlp")
    cli(*train, "--spiking", "--coding", "direct", "--steps", 6, "--epochs", 4, "--out", snn)
    made = cli("quantize", snn, "--dataset", "digits", "--weight-bits", 4, "--out", out, "--json").json
    assert made["weight_bits"] == 4
    assert made["accuracy"] > 0.5
    words = ("--weight-bits", 4, "--dataset", "digits", "--samples", 30, "--out", tmp_path / "t", "--json")
    assert cli("trace", out, "--between", "torch,fixedpoint", *words).json["identical"] is True
    ann = tmp_path / "ann"
    cli(*train, "--epochs", 1, "--out", ann)
    refused = cli("quantize", ann, "--dataset", "digits", "--weight-bits", 4, "--out", out)
    assert refused.code == 2
    assert "run convert first" in refused.err
