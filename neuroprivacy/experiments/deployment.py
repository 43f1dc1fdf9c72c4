"""The whole way once: ANN → synthetic images → SNN → class encryption → NIR → Program → backends → report.

Each station is kept in the run folder; a run that is resumed takes up what is there, if it was made with the same
settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from neuroprivacy.conversion import ThresholdMethod, convert
from neuroprivacy.data import Dataset
from neuroprivacy.encoding import Coding
from neuroprivacy.encryption import EncryptionSettings, encrypt
from neuroprivacy.errors import CheckFailed
from neuroprivacy.experiments.deployed import Deployed, deploy
from neuroprivacy.experiments.summary import summarize
from neuroprivacy.kernels.dynamics import Reset
from neuroprivacy.nets import ModelSpec, SpikingNet, load_checkpoint, save_checkpoint
from neuroprivacy.progress import Progress, silent
from neuroprivacy.report import write_report
from neuroprivacy.storage import digest, read_json, sweep_temporaries, write_json
from neuroprivacy.synthesis import SynthesisSettings, SyntheticSet, load_synthetic, synthesize
from neuroprivacy.train import FitSettings, accuracy, logits, train
from neuroprivacy.train.fit import discard_state


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """Everything that a run depends on, beside its data set.

    Attributes:
        model: layers of the ANN.
        training: of the ANN.
        synthesis: of the images.
        conversion: how thresholds are found.
        encryption: of the converted network.
        steps: time steps T; likewise `reset` and `coding`.
        target: name of the chip.
        backends: that must agree with the reference.
        verify_samples: test samples on which every integer is compared.
        seed: of the encoder of the deployed network.
    """

    model: ModelSpec
    training: FitSettings
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    conversion: ThresholdMethod = field(default_factory=ThresholdMethod)
    encryption: EncryptionSettings = field(default_factory=EncryptionSettings)
    steps: int = 16
    reset: Reset = "hard"
    coding: Coding = "direct"
    target: str = "loihi2"
    backends: tuple[str, ...] = ("fixedpoint", "lava")
    verify_samples: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stations:
    """The networks on the way, and what the float ones answer on the test set."""

    ann: nn.Sequential
    synthetic: SyntheticSet
    converted: SpikingNet
    encrypted: SpikingNet
    encryption_info: dict[str, Any]
    accuracy: dict[str, float]
    prediction: np.ndarray[Any, np.dtype[np.int64]]
    seconds: dict[str, float]


def run_deployment(
    dataset: Dataset,
    *,
    settings: DeploymentSettings,
    folder: Path,
    resume: bool = False,
    device: str = "cpu",
    command: str = "",
    progress: Callable[[str], Progress] = lambda station: silent,
) -> dict[str, Any]:
    """Run every station and write the report.

    Args:
        dataset: the ANN trains on its training split; nothing after that sees it. The test split is used to measure.
        settings: everything else.
        folder: of the run; `report.html` and `report.json` are written there.
        resume: take up stations that are complete.
        device: of training.
        command: as stored in the report.
        progress: station name -> what is told of its steps.

    Returns:
        What `report.json` holds.

    Raises:
        CheckFailed: a backend differs from the reference; the report is written all the same.
    """
    started = time.perf_counter()
    sweep_temporaries(folder)
    stations = make_networks(dataset, settings=settings, folder=folder, resume=resume, device=device, progress=progress)
    deployed = deploy(
        stations.encrypted, dataset, settings=settings, folder=folder, progress=progress, expected=stations.prediction
    )
    data = summarize(dataset, settings=settings, stations=stations, deployed=deployed, command=command)
    data["timing"]["seconds"]["total"] = round(time.perf_counter() - started, 2)
    write_report(folder, data)
    _must_agree(deployed)
    return data


def _must_agree(deployed: Deployed) -> None:
    differing = [f"{name}: {'; '.join(v.differences[:3])}" for name, v in deployed.verdicts.items() if not v.identical]
    if differing:
        raise CheckFailed("backends differ from the reference:\n" + "\n".join(differing))


def make_networks(
    dataset: Dataset,
    *,
    settings: DeploymentSettings,
    folder: Path,
    resume: bool,
    device: str,
    progress: Callable[[str], Progress],
) -> Stations:
    """Train, synthesize, convert and encrypt, each kept in its folder."""
    seconds: dict[str, float] = {}

    def station(name: str, inputs: Any, load: Callable[[Path], Any], make: Callable[[Path], Any]) -> Any:
        """Load a complete station made with the same settings, or make it."""
        begun = time.perf_counter()
        place, key = folder / name, digest(repr(inputs).encode())
        if resume and (place / "made.json").exists() and read_json(place / "made.json").get("key") == key:
            result = load(place)
        else:
            result = make(place)
            write_json(place / "made.json", {"key": key})
            discard_state(place)
        seconds[name] = round(time.perf_counter() - begun, 2)
        return result

    def make_ann(place: Path) -> nn.Module:
        """Train and keep the ANN."""
        net = train(
            settings.model, dataset=dataset, settings=settings.training, state_folder=place, resume=resume,
            device=device, progress=progress("ann"),
        )  # fmt: skip
        save_checkpoint(net, place, spec=settings.model, info={"dataset": dataset.name, "training": asdict(settings.training)})
        return net

    def make_synthetic(place: Path) -> SyntheticSet:
        """Make and keep the images."""
        made = synthesize(
            ann, shape=settings.model.input_shape, settings=settings.synthesis, device=device,
            progress=progress("synthetic"),
        )  # fmt: skip
        made.save(place)
        return made

    def make_converted(place: Path) -> SpikingNet:
        """Convert and keep the network."""
        net = convert(
            ann, spec=settings.model, calibration=synthetic.images, method=settings.conversion, steps=settings.steps,
            reset=settings.reset, coding=settings.coding, seed=settings.synthesis.seed,
        )  # fmt: skip
        save_checkpoint(net, place, info={"method": asdict(settings.conversion)})
        return net

    def make_encrypted(place: Path) -> SpikingNet:
        """Retrain and keep the network."""
        net, info = encrypt(
            converted, teacher=ann, samples=synthetic.images, settings=settings.encryption, state_folder=place,
            resume=resume, device=device, progress=progress("encrypted"),
        )  # fmt: skip
        save_checkpoint(net, place, info=info)
        return net

    chain: list[Any] = [dataset.digest(), settings.model, settings.training]
    ann = station("ann", chain, lambda p: load_checkpoint(p).ann, make_ann)
    chain = [*chain, settings.synthesis]
    synthetic = station("synthetic", chain, load_synthetic, make_synthetic)
    chain = [*chain, settings.conversion, settings.steps, settings.reset, settings.coding]
    converted = station("converted", chain, lambda p: load_checkpoint(p).spiking, make_converted)
    chain = [*chain, settings.encryption]
    encrypted = station("encrypted", chain, lambda p: load_checkpoint(p).spiking, make_encrypted)
    begun = time.perf_counter()
    images, labels = dataset.test_images, dataset.test_labels
    prediction = logits(encrypted, images, seed=settings.seed).argmax(1)
    measured = {
        "ann": accuracy(ann, images, labels),
        "converted": accuracy(converted, images, labels, seed=settings.seed),
        "encrypted": float((prediction == labels).mean()),
    }
    seconds["measure"] = round(time.perf_counter() - begun, 2)
    return Stations(
        ann=ann, synthetic=synthetic, converted=converted, encrypted=encrypted,
        encryption_info=dict(load_checkpoint(folder / "encrypted").info), accuracy=measured, prediction=prediction,
        seconds=seconds,
    )  # fmt: skip
