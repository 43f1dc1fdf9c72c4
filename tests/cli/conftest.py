"""The command line in this process, as `main` runs it: exit code, stdout, stderr."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Stdout is one JSON object on one line, and nothing else."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def no_warm_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line runs in a process of its own: no Lava worker of another test is at hand."""
    monkeypatch.setattr("neuroprivacy_lava.backend._SHARED", [])


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    from neuroprivacy.cli import main

    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    def run(*words: object) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["neuroprivacy", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capsys.readouterr()
        return Ended(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture(scope="session")
def ann(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ANN for digits."""
    from neuroprivacy.data import load_dataset
    from neuroprivacy.networks import model_spec, save_checkpoint
    from neuroprivacy.training import FitSettings, train

    digits = load_dataset("digits")
    spec = model_spec("mlp", input_shape=digits.sample_shape, classes=10, hidden=(24,))
    net = train(spec, dataset=digits, settings=FitSettings(epochs=4, batch_size=32, lr=5e-3, threads=1))
    return save_checkpoint(net, tmp_path_factory.mktemp("ann"), spec=spec)


@pytest.fixture(scope="session")
def snn(ann: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ANN converted, hard reset."""
    return converted(ann, tmp_path_factory.mktemp("snn"), reset="hard")


@pytest.fixture(scope="session")
def soft_snn(ann: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ANN converted, soft reset."""
    return converted(ann, tmp_path_factory.mktemp("soft"), reset="soft")


def converted(ann: Path, folder: Path, *, reset: Any) -> Path:
    from neuroprivacy.conversion import convert
    from neuroprivacy.data import load_dataset
    from neuroprivacy.networks import load_checkpoint, save_checkpoint

    images = load_dataset("digits").train_images[:100]
    net = convert(load_checkpoint(ann).ann, calibration=images, time_steps=6, reset=reset, coding="direct")
    return save_checkpoint(net, folder)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
