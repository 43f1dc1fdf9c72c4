"""What Lava computed once, held against everything of ours that computes; no Lava is needed here."""

import json
import shutil
from functools import cache
from pathlib import Path

import pytest

from neuroprivacy.core.errors import BadFile
from neuroprivacy.core.storage import read_arrays, write_arrays
from neuroprivacy.runtime.backend import Backend, load_backend
from tools import golden

FOLDER = Path(__file__).parents[1] / "golden" / golden.VERSION


@cache
def runs() -> tuple[golden.GoldenRun, ...]:
    return golden.read_golden(FOLDER)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reference", "fixedpoint"])
def test_every_golden_run_is_met_exactly(name: str, tmp_path: Path) -> None:
    backend: Backend = load_backend(name)
    for run in runs():
        artifact = backend.build(run.program, tmp_path / run.name)
        found = golden.differences(run, backend.run(artifact, run.inputs, golden.EVERYTHING))
        assert not found, f"{run.name}: {found}"


def test_every_file_says_who_made_it() -> None:
    descriptions = [json.loads(path.read_text()) for path in FOLDER.rglob("*.json") if path.name != "program.json"]
    assert len(descriptions) == 1 + len(golden.NETWORKS)
    for described in descriptions:
        assert described["producer"] == "lava"
        assert described["versions"]["lava-nc"] == "0.10.0"
        assert described["versions"]["python"].startswith("3.10.")


def test_the_networks_are_worth_recording() -> None:
    networks = golden.read_networks(FOLDER)
    assert {run.program.target.name for run in networks} == {"loihi2", "loihi2-soft"}
    for run in networks:
        assert len(run.program.layers) >= 3
        for layer in run.program.layers:
            assert 0.01 <= run.recorded[f"spikes.{layer.name}"].mean() <= 0.6


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 300_000


def test_one_changed_integer_is_found(tmp_path: Path) -> None:
    copied = shutil.copytree(FOLDER, tmp_path / "golden")
    values = read_arrays(copied / "single_rules.npz")["values"]
    values[len(values) // 2] += 1
    write_arrays(copied / "single_rules.npz", {"values": values})
    reference = load_backend("reference")
    found = []
    for run in golden.read_single_rules(copied):
        result = reference.run(reference.build(run.program, tmp_path / "built"), run.inputs, golden.EVERYTHING)
        found += golden.differences(run, result)
    assert len(found) == 1
    assert "differs in 1 values" in found[0]


def test_cases_that_are_not_recorded_are_named(tmp_path: Path) -> None:
    copied = shutil.copytree(FOLDER, tmp_path / "golden")
    described = json.loads((copied / "single_rules.json").read_text())
    described["index"] = [entry for entry in described["index"] if entry["case"] != "silent_input"]
    (copied / "single_rules.json").write_text(json.dumps(described))
    with pytest.raises(BadFile, match=r"is not of these cases \(silent_input\); python -m"):
        golden.read_single_rules(copied)


def test_a_folder_without_networks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="holds no golden networks"):
        golden.read_networks(tmp_path)


def test_a_recording_of_another_program_is_refused(tmp_path: Path) -> None:
    copied = shutil.copytree(FOLDER, tmp_path / "golden")
    first, second, *_ = sorted((copied / "networks").iterdir())
    shutil.copy(second / "recorded.json", first / "recorded.json")
    with pytest.raises(BadFile, match="was recorded with another Program"):
        golden.read_networks(copied)


@pytest.mark.slow
def test_recording_again_gives_the_same_bytes(tmp_path: Path) -> None:
    """The writer is deterministic: the reference's results, written twice."""
    reference = load_backend("reference")
    for folder in (tmp_path / "a", tmp_path / "b"):
        for run in golden.read_networks(FOLDER):
            artifact = reference.build(run.program, tmp_path / "built")
            result = reference.run(artifact, run.inputs, golden.EVERYTHING)
            golden.write_network(folder, run.name, run.program, run.inputs, result)
    written = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    assert written[0] == written[1]


def test_only_the_producer_sets_lava_and_us_apart(tmp_path: Path) -> None:
    """The reference, recorded, gives the very arrays that Lava gave."""
    reference = load_backend("reference")
    for run in golden.read_networks(FOLDER):
        result = reference.run(reference.build(run.program, tmp_path / "built"), run.inputs, golden.EVERYTHING)
        golden.write_network(tmp_path, run.name, run.program, run.inputs, result)
        name = Path("networks") / run.name / "recorded.npz"
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
