"""The examples run and do what they say."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="example")


def test_every_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "digits_to_loihi2", "own_backend", "nir_file_to_integers", "snntorch_to_chip",
    }  # fmt: skip


@pytest.mark.slow
def test_digits_to_loihi2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert example("digits_to_loihi2")["main"](tmp_path) > 0.8
    assert "integers 0." in capsys.readouterr().out
    assert (tmp_path / "digits.nir").exists()


@pytest.mark.slow
def test_own_backend() -> None:
    tally = example("own_backend")["main"](random_programs=5)
    assert tally["passed"] > 10
    assert tally["refused"] > 0
    assert tally["failed"] == 0


def test_nir_file_to_integers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = example("nir_file_to_integers")
    assert script["main"](script["write_example"](tmp_path / "a.nir"), tmp_path) == 0
    printed = capsys.readouterr().out
    assert "time step 0.0001 s, latency 1 steps" in printed
    assert "lif: threshold" in printed
    assert not printed.splitlines()[-1].startswith("0 output spikes")


@pytest.mark.slow
def test_snntorch_to_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, ours = example("snntorch_to_chip")["main"](tmp_path)
    assert theirs > 0.85
    assert ours > theirs - 0.05
    assert "of the spike counts equal" in capsys.readouterr().out
