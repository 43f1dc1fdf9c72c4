"""Lava alone: the golden files are still what it computes, and its users need nothing of ours."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.runtime.backend import Backend, Record
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy_lava.interpreter import find_python, uv_program
from neuroprivacy_lava.worker_process import environment, worker_script
from tools import golden
from tools.regenerate import run_live

pytestmark = pytest.mark.only("lava")
FOLDER = Path(__file__).parents[1] / "tests" / "golden" / golden.VERSION


@pytest.mark.parametrize("run", golden.read_golden(FOLDER), ids=lambda run: run.name)
def test_golden_files_are_what_lava_computes_today(run: golden.GoldenRun, backend: Backend) -> None:
    states = any(key.startswith("u.") for key in run.recorded)
    result = run_live(backend, run.program, run.inputs, states=states)
    assert golden.differences(run, result) == ()
    assert result.versions["lava-nc"] == run.versions["lava-nc"]


def plain_python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A Python that has Lava and nothing of ours."""
    python = find_python()
    requirements = worker_script().with_name("worker.lock.txt")
    return subprocess.run(
        [
            uv_program(), "run", "--no-project", "--no-config", "--quiet", "--python", str(python or "3.10"),
            "--with-requirements", str(requirements), "python", *arguments,
        ],
        env=environment(python), cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        check=False, timeout=600,
    )  # fmt: skip


def test_an_exported_folder_runs_without_us(backend: Backend, tmp_path: Path) -> None:
    absent = plain_python("-c", "import neuroprivacy", cwd=tmp_path)
    assert absent.returncode == 1
    assert "No module named 'neuroprivacy'" in absent.stderr
    for run in golden.read_networks(FOLDER)[::3]:
        (port,) = run.program.inputs
        result = run_reference(run.program, run.inputs, record=Record())
        folder = tmp_path / run.name
        backend.build(run.program, folder)
        spikes = run.inputs[port.name]
        labels = result.prediction.copy()
        labels[0] += 1
        np.savez(folder / "spikes.npz", spikes=spikes.reshape(*spikes.shape[:2], *port.shape), labels=labels)
        done = plain_python("run.py", "--input", "spikes.npz", "--output", "result.npz", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert f"accuracy {1 - 1 / len(labels):.4f} of {len(labels)} samples" in done.stdout
        with np.load(folder / "result.npz", allow_pickle=False) as written:
            assert np.array_equal(written["spikes"], result.spikes[run.program.outputs[0]])
            assert np.array_equal(written["readout"], result.readout)
            assert np.array_equal(written["prediction"], result.prediction)
            assert np.array_equal(written["labels"], labels)


def test_stock_lava_without_our_worker_computes_the_same(backend: Backend, tmp_path: Path) -> None:
    """Dense instead of block-diagonal Sparse, stock LIF, Lava's own sinks and `Var.get`: nothing of ours runs."""
    chosen = [run for run in golden.read_networks(FOLDER) if all(layer.reset == "hard" for layer in run.program.layers)]
    assert len(chosen) >= 2
    script = Path(__file__).with_name("stock_lava.py")
    compared = 0
    for run in chosen:
        folder = tmp_path / run.name
        backend.build(run.program, folder)
        inputs = {name: array.reshape(*array.shape[:2], -1) for name, array in run.inputs.items()}
        np.savez(folder / "spikes.npz", **inputs)
        done = plain_python(str(script), str(folder), "spikes.npz", "stock.npz", cwd=folder)
        if "not for this check" in done.stderr:
            continue
        assert done.returncode == 0, done.stderr
        result = run_reference(run.program, run.inputs, record=Record(spikes=True, final=True))
        with np.load(folder / "stock.npz", allow_pickle=False) as written:
            for name, spikes in (result.layer_spikes or {}).items():
                assert np.array_equal(written[f"spikes.{name}"], spikes), (run.name, name)
                assert np.array_equal(written[f"final_u.{name}"], (result.final_u or {})[name]), (run.name, name)
                assert np.array_equal(written[f"final_v.{name}"], (result.final_v or {})[name]), (run.name, name)
        compared += 1
    assert compared >= 2
