"""The whole way on digits, by the commands that the README shows, with small settings."""

from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.core.storage import read_arrays
from neuroprivacy.data import load_dataset, save_spikes
from neuroprivacy.graph import load_nir, read_info
from neuroprivacy.networks import load_checkpoint
from neuroprivacy.runtime.simulation import encode_samples


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mlp", "convnet"])
def test_from_data_to_energy(family: str, tmp_path: Path, cli) -> None:
    folder = {name: tmp_path / name for name in ("ann", "synthetic", "snn", "encrypted", "nir", "chip")}

    def step(*words: object) -> dict:
        ended = cli(*words, "--json")
        assert ended.code == 0, ended.err
        assert ended.err == ""
        return ended.json

    trained = step(
        "train", "--dataset", "digits", "--model", family, "--epochs", 6, "--lr", 5e-3, "--width", 0.5,
        "--seed", 3, "--out", folder["ann"],
    )  # fmt: skip
    assert trained["accuracy"] > 0.8
    assert trained["seed"] == 3
    info = load_checkpoint(folder["ann"]).info
    assert info["accuracy"] == trained["accuracy"]
    assert info["versions"]["torch"]
    assert not (folder["ann"] / "training.pt").exists()

    made = step("synthesize", folder["ann"], "--count", 120, "--opt-steps", 40, "--out", folder["synthetic"])
    assert made["count"] == 120

    snn = step("convert", folder["ann"], "--calibration", folder["synthetic"], "--steps", 8, "--out", folder["snn"])
    assert all(theta > 0 for theta in snn["thresholds"].values())

    encrypted = step(
        "encrypt", folder["snn"], "--teacher", folder["ann"], "--samples", folder["synthetic"], "--epochs", 1,
        "--out", folder["encrypted"],
    )  # fmt: skip
    assert all(change["relative_distance"] > 0 for change in encrypted["weights"].values())

    written = step("export", folder["encrypted"], "--backend", "nir", "--out", folder["nir"])
    graph = load_nir(Path(written["file"]))
    assert (read_info(graph).reset, read_info(graph).time_steps) == ("hard", 8)

    # The same program from the checkpoint and from the file that was written of it.
    exported = step("export", folder["encrypted"], "--backend", "fixedpoint", "--out", folder["chip"])
    again = step("export", written["file"], "--backend", "fixedpoint", "--out", tmp_path / "again")
    assert exported["content_hash"] == again["content_hash"]
    assert exported["latency"] == (2 if family == "mlp" else 4)

    result = tmp_path / "result.npz"
    simulated = step("simulate", folder["chip"], "--dataset", "digits", "--samples", 100, "--out", result)
    assert simulated["samples"] == 100
    assert simulated["accuracy"] > 0.3
    arrays = read_arrays(result)
    assert arrays["readout"].shape == (100, 10)
    np.testing.assert_array_equal(arrays["prediction"], arrays["readout"].argmax(1))
    assert (arrays["prediction"] == arrays["labels"]).mean() == simulated["accuracy"]

    # The same samples as spikes in a file: the same integers.
    from neuroprivacy.runtime.exported import open_artifact

    digits = load_dataset("digits")
    spikes = encode_samples(open_artifact(folder["chip"]).program, digits.test_images[:100]).astype(np.uint8)
    save_spikes(tmp_path / "spikes.npz", spikes=spikes, labels=digits.test_labels[:100])
    by_file = step("simulate", folder["chip"], "--input", tmp_path / "spikes.npz", "--out", tmp_path / "other.npz")
    assert by_file["accuracy"] == simulated["accuracy"]
    assert by_file["counts"] == simulated["counts"]
    np.testing.assert_array_equal(read_arrays(tmp_path / "other.npz")["readout"], arrays["readout"])
    assert read_arrays(tmp_path / "other.npz")["spikes"].shape == (100, 8, 10)

    # Two networks share the workers.
    both = step(
        "simulate", folder["chip"], tmp_path / "again", "--dataset", "digits", "--samples", 100, "--engine", "local",
        "--out", tmp_path / "both",
    )  # fmt: skip
    assert [run["folder"] for run in both["runs"]] == [str(folder["chip"]), str(tmp_path / "again")]
    for run in both["runs"]:
        assert run["accuracy"] == simulated["accuracy"]
        assert run["counts"] == simulated["counts"]
        np.testing.assert_array_equal(read_arrays(Path(run["out"]))["readout"], arrays["readout"])

    energy = step("energy", folder["chip"], "--dataset", "digits", "--samples", 20)
    assert len(energy["models"]) > 1


@pytest.mark.slow
def test_a_spiking_network_is_trained_and_exported(tmp_path: Path, cli) -> None:
    ended = cli(
        "train", "--dataset", "iris", "--model", "mlp", "--spiking", "--beta", 0.9, "--coding", "direct", "--steps", 5,
        "--surrogate", "atan", "--epochs", 30, "--schedule", "chip", "--bias", "--out", tmp_path / "snn", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json["accuracy"] > 0.5
    ended = cli("export", tmp_path / "snn", "--backend", "reference", "--target", "int8", "--out", tmp_path / "x")
    assert ended.code == 0, ended.err
    assert "written: " in ended.out
    assert "(reference, int8, latency 0 steps)" in ended.out


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, cli) -> None:
    for name in ("a", "b"):
        assert cli("train", "--dataset", "iris", "--model", "mlp", "--epochs", 2, "--out", tmp_path / name).code == 0
    for file in ("model.json", "weights.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.slow
def test_text_for_people(snn: Path, tmp_path: Path, cli) -> None:
    assert cli("export", snn, "--backend", "fixedpoint", "--out", tmp_path).code == 0
    ended = cli("simulate", tmp_path, "--dataset", "digits", "--samples", 10)
    assert ended.code == 0
    assert ended.out.startswith("10 samples on fixedpoint, accuracy ")
    ended = cli("energy", tmp_path, "--dataset", "digits", "--samples", 5)
    assert "cost model" in ended.out


@pytest.mark.slow
def test_lists_and_shows(cli) -> None:
    assert {"loihi2", "loihi2-soft", "int8"} <= cli("target", "list", "--json").json.keys()
    assert cli("target", "show", "loihi2", "--json").json["weight_bits"] == 8
    assert "published" in cli("target", "show", "loihi2").out
    assert {"fixedpoint", "lava", "reference"} <= cli("backend", "list", "--json").json.keys()
    tally = cli("backend", "check", "reference", "--random", 2, "--json").json
    assert tally["failed"] == 0
    assert tally["passed"] > 10


@pytest.mark.slow
def test_doctor_reports_and_never_fails(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEUROPRIVACY_LAVA_PYTHON", "/bin/false")
    monkeypatch.setenv("NEUROPRIVACY_DATA", str(tmp_path))
    ended = cli("doctor", "--json")
    assert ended.code == 0
    found = ended.json
    assert found["backend fixedpoint"]["ok"]
    assert not found["backend lava"]["ok"]
    assert found["data digits"]["ok"]
    assert not found["data mnist"]["ok"]
