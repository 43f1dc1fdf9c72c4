"""`target check`: the map, the table, the exit code."""

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neuroprivacy.graph import save_nir


@pytest.mark.slow
def test_a_network_that_fits(snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", snn, "--target", "loihi2", "--out", tmp_path / "map")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("It fits loihi2 on 2 cores.\n")
    for word in ("axons in", "delay slots", "secondary", "estimate"):
        assert word in ended.out
    page = (tmp_path / "map" / "map.html").read_text()
    assert page.count('<rect class="core') == 128
    assert "<script" not in page
    assert json.loads((tmp_path / "map" / "map.json").read_text())["fits"]


@pytest.mark.parametrize("target", ["loihi2", "int8"])
def test_json(target: str, snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", snn, "--target", target, "--out", tmp_path / "map", "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["target"], ended.json["fits"]) == (target, True)
    assert len(ended.json["cores"]) == (2 if target == "loihi2" else 0)


def test_what_the_arithmetic_refuses_is_still_counted(soft_snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", soft_snn, "--target", "loihi2", "--out", tmp_path / "map", "--json")
    assert ended.code == 1
    assert "the soft reset does not exist on loihi2" in ended.err
    assert not ended.json["fits"]
    assert len(ended.json["cores"]) == 2


@pytest.mark.slow
def test_graded_input_is_more_than_loihi1_takes(snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", snn, "--target", "loihi1", "--out", tmp_path / "map")
    assert ended.code == 1
    assert "an input value (255) exceeds 0 ... 1" in ended.err
    assert "loihi1 refuses its arithmetic" in ended.out


def test_a_network_that_does_not_fit(snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", snn, "--target", "xylo", "--out", tmp_path / "map")
    assert ended.code == 1
    assert "input channels (64) exceeds 16" in ended.err
    assert "Does not fit" in (tmp_path / "map" / "map.html").read_text()


def test_the_same_network_gives_the_same_page(snn: Path, tmp_path: Path, cli) -> None:
    for name in ("a", "b"):
        cli("target", "check", snn, "--out", tmp_path / name)
    assert (tmp_path / "a" / "map.html").read_bytes() == (tmp_path / "b" / "map.html").read_bytes()


def test_an_unknown_target(snn: Path, cli) -> None:
    assert cli("target", "check", snn, "--target", "loihi9").code == 2


def one_layer(path: Path, neurons: Any) -> Path:
    nodes = {
        "input": nir.Input({"input": np.array([3])}), "fc": nir.Linear(np.array([[1.0, -0.5, 0.3], [0.2, 0.7, 0.1]])),
        "n": neurons, "output": nir.Output({"output": np.array([2])}),
    }  # fmt: skip
    save_nir(nir.NIRGraph(nodes, [("input", "fc"), ("fc", "n"), ("n", "output")], type_check=False), path)
    return path


def of(**values: float) -> dict[str, Any]:
    return {name: np.full(2, value) for name, value in values.items()}


LEAKY = nir.LIF(**of(tau=2e-3, r=20.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0))
CURRENT = nir.CubaLIF(**of(tau_syn=2e-3, tau_mem=3e-3, r=30.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0, w_in=20.0))


@pytest.mark.slow
def test_a_leak_that_a_chip_does_not_have(tmp_path: Path, cli) -> None:
    model = one_layer(tmp_path / "a.nir", LEAKY)
    ended = cli("target", "check", model, "--target", "speck", "--out", tmp_path / "map")
    assert ended.code == 1
    assert "n: neurons keep 0.95 of their membrane in a step, those of speck keep all of it; train or" in ended.err
    assert cli("target", "check", model, "--target", "loihi1", "--out", tmp_path / "map").code == 0


@pytest.mark.parametrize("target", ["speck", "int8"])
def test_a_current_that_a_chip_does_not_keep_is_still_counted(target: str, tmp_path: Path, cli) -> None:
    model = one_layer(tmp_path / "a.nir", CURRENT)
    ended = cli("target", "check", model, "--target", target, "--out", tmp_path / "map", "--json")
    assert ended.code == 1
    assert f"keeps a synaptic current, {target} does not" in ended.err
    assert [layer["synapses"] for layer in ended.json["layers"]] == [6]


def test_an_exported_network(tmp_path: Path, cli) -> None:
    model = one_layer(tmp_path / "a.nir", LEAKY)
    assert cli("export", model, "--backend", "reference", "--target", "loihi2", "--out", tmp_path / "x").code == 0
    ended = cli("target", "check", tmp_path / "x", "--out", tmp_path / "map")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "It fits loihi2 on 1 core.")
    other = cli("target", "check", tmp_path / "x", "--target", "loihi1", "--out", tmp_path / "map")
    assert "warning: network: was lowered for loihi2; on loihi1 its integers would be others" in other.out


@pytest.mark.parametrize("target", ["speck", "xylo"])
def test_nothing_is_built_for_a_target_that_is_only_checked(target: str, tmp_path: Path, cli) -> None:
    model = one_layer(tmp_path / "a.nir", nir.IF(**of(r=1e4, v_threshold=1.0, v_reset=0.0)))
    ended = cli("export", model, "--backend", "reference", "--target", target, "--out", tmp_path / "x")
    assert ended.code == 2
    assert not (tmp_path / "x" / "artifact.json").exists()
