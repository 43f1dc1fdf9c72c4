"""Opening and running what `export` wrote."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.core.storage import read_arrays, write_json
from neuroprivacy.data import save_spikes
from neuroprivacy.runtime.backend import build
from neuroprivacy.runtime.exported import open_artifact, run_spikes, save_result
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing.case import edge, layer, network

RNG = np.random.default_rng(2)
PROGRAM = network([layer("n", [edge("input", RNG.integers(-50, 127, (4, 6)))], threshold=90)])
SPIKES = (RNG.random((5, 8, 6)) < 0.5).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(PROGRAM, backend="reference", folder=tmp_path / "export")
    write_json(tmp_path / "export" / "artifact.json", {"backend": "reference", "content_hash": PROGRAM.content_hash})
    return tmp_path / "export"


def test_spikes_with_and_without_labels(folder: Path, tmp_path: Path) -> None:
    artifact = open_artifact(folder)
    expected = run_reference(PROGRAM, {"input": SPIKES.astype(np.int64)})
    save_spikes(tmp_path / "s.npz", spikes=SPIKES)
    found = run_spikes(artifact, tmp_path / "s.npz")
    np.testing.assert_array_equal(found.spikes, expected.spikes["n"])
    np.testing.assert_array_equal(found.readout, expected.readout)
    assert found.labels is None
    assert found.labels is None
    with pytest.raises(ConfigurationError, match="accuracy: no labels are known"):
        found.accuracy()
    labels = expected.prediction.copy()
    labels[0] = (labels[0] + 1) % 4
    save_spikes(tmp_path / "s.npz", spikes=SPIKES, labels=labels)
    assert run_spikes(artifact, tmp_path / "s.npz").accuracy() == 4 / 5
    assert len(run_spikes(artifact, tmp_path / "s.npz", samples=2).prediction) == 2

    save_result(tmp_path / "result.npz", run_spikes(artifact, tmp_path / "s.npz"))
    arrays = read_arrays(tmp_path / "result.npz")
    assert set(arrays) == {"spikes", "readout", "prediction", "labels", "counts"}
    np.testing.assert_array_equal(arrays["spikes"], expected.spikes["n"])
    assert json.loads(arrays["counts"].tobytes()) == json.loads(json.dumps(expected.counts.totals()))


def test_many_spikes_are_run_some_at_a_time(folder: Path, tmp_path: Path) -> None:
    spikes = (np.random.default_rng(3).random((600, 8, 6)) < 0.5).astype(np.uint8)
    save_spikes(tmp_path / "s.npz", spikes=spikes)
    told: list[tuple[int, int]] = []
    found = run_spikes(open_artifact(folder), tmp_path / "s.npz", progress=lambda done, of, _: told.append((done, of)))
    expected = run_reference(PROGRAM, {"input": spikes.astype(np.int64)})
    np.testing.assert_array_equal(found.spikes, expected.spikes["n"])
    np.testing.assert_array_equal(found.prediction, expected.prediction)
    assert found.counts.totals() == expected.counts.totals()
    assert told == [(250, 600), (500, 600), (600, 600)]


def test_the_program_may_lie_in_a_folder_of_its_own(folder: Path) -> None:
    (folder / "program").mkdir()
    for name in ("program.json", "arrays.npz"):
        shutil.move(folder / name, folder / "program" / name)
    assert open_artifact(folder).program.content_hash == PROGRAM.content_hash


def test_what_is_no_export_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"artifact\.json: cannot be read"):
        open_artifact(tmp_path)
    for wrong in ({"backend": "reference", "content_hash": "0"}, {"content_hash": PROGRAM.content_hash}, {}):
        write_json(folder / "artifact.json", wrong)
        with pytest.raises(BadFile, match="does not belong to the program beside it; export again"):
            open_artifact(folder)
    (folder / "program.json").unlink()
    with pytest.raises(BadFile, match=r"program\.json: cannot be read"):
        open_artifact(folder)


def test_spikes_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    artifact = open_artifact(folder)
    save_spikes(tmp_path / "s.npz", spikes=SPIKES[:, :, :4])
    with pytest.raises(ConfigurationError, match=r"input: shape \(5, 8, 4\) is not \(samples, steps, 6\)"):
        run_spikes(artifact, tmp_path / "s.npz")
    save_spikes(tmp_path / "s.npz", spikes=SPIKES * 2)
    with pytest.raises(ConfigurationError, match=r"input: values 0 \.\.\. 2 leave 0 \.\.\. 1"):
        run_spikes(artifact, tmp_path / "s.npz")
    with pytest.raises(BadFile, match="cannot be read"):
        run_spikes(artifact, tmp_path / "none.npz")
