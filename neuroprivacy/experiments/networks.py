"""The floating-point stages of a deployment: train, synthesize, convert, encrypt, each stored in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroprivacy.conversion import convert
from neuroprivacy.core.progress import Progress
from neuroprivacy.core.stages import Stage, stage_key
from neuroprivacy.data import Dataset
from neuroprivacy.encryption.class_encryption import encrypt
from neuroprivacy.experiments.settings import DeploymentSettings
from neuroprivacy.networks import Ann, SpikingNetwork, load_checkpoint, save_checkpoint, set_threads
from neuroprivacy.synthesis.class_impressions import SyntheticSet, load_synthetic, synthesize
from neuroprivacy.training import accuracy, logits, train
from neuroprivacy.training.fit import discard_state


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageResults:
    """The networks of all stages, and the predictions of the encrypted one on the test set."""

    ann: Ann
    synthetic: SyntheticSet
    converted: SpikingNetwork
    encrypted: SpikingNetwork
    encryption_info: dict[str, Any]
    accuracy: dict[str, float]
    prediction: np.ndarray[Any, np.dtype[np.int64]]
    seconds: dict[str, float]


def make_networks(
    dataset: Dataset,
    *,
    settings: DeploymentSettings,
    folder: Path,
    resume: bool,
    device: str,
    progress: Callable[[str], Progress],
) -> StageResults:
    """Train, synthesize, convert and encrypt, each stored in its folder."""
    seconds: dict[str, float] = {}
    set_threads(settings.training.threads)

    def run_stage(name: str, inputs: Any, load: Callable[[Path], Any], make: Callable[[Path], Any]) -> Any:
        """Load the finished stage of the same settings, or make it."""
        begun = time.perf_counter()
        stage = Stage(folder=folder / name, key=stage_key(inputs))
        result = stage.load_or_make(load=load, make=make, resume=resume, discard=discard_state)
        seconds[name] = round(time.perf_counter() - begun, 2)
        return result

    def make_ann(place: Path) -> Ann | SpikingNetwork:
        """Train the ANN and save it."""
        net = train(
            settings.model, dataset=dataset, settings=settings.training, state_folder=place, resume=resume,
            device=device, progress=progress("ann"),
        )  # fmt: skip
        save_checkpoint(
            net,
            place,
            spec=settings.model,
            info={"dataset": dataset.name, "training": asdict(settings.training)},
        )
        return net

    def make_synthetic(place: Path) -> SyntheticSet:
        """Synthesize the images and save them."""
        made = synthesize(
            ann, input_shape=settings.model.input_shape, settings=settings.synthesis, device=device,
            progress=progress("synthetic"),
        )  # fmt: skip
        made.save(place)
        return made

    def make_converted(place: Path) -> SpikingNetwork:
        """Convert the ANN and save the spiking network."""
        net = convert(
            ann, calibration=synthetic.images, method=settings.conversion, time_steps=settings.steps,
            reset=settings.reset, coding=settings.coding, seed=settings.synthesis.seed,
        )  # fmt: skip
        save_checkpoint(net, place, info={"method": asdict(settings.conversion)})
        return net

    def make_encrypted(place: Path) -> SpikingNetwork:
        """Retrain the spiking network on the synthetic images and save it."""
        made = encrypt(
            converted, teacher=ann, images=synthetic.images, settings=settings.encryption, state_folder=place,
            resume=resume, device=device, progress=progress("encrypted"),
        )  # fmt: skip
        save_checkpoint(made.network, place, info=made.describe())
        return made.network

    chain: list[Any] = [dataset.digest(), settings.model, settings.training]
    ann = run_stage("ann", chain, lambda p: load_checkpoint(p).ann, make_ann)
    chain = [*chain, settings.synthesis]
    synthetic = run_stage("synthetic", chain, load_synthetic, make_synthetic)
    chain = [*chain, settings.conversion, settings.steps, settings.reset, settings.coding]
    converted: SpikingNetwork = run_stage("converted", chain, lambda p: load_checkpoint(p).spiking, make_converted)
    chain = [*chain, settings.encryption]
    encrypted = run_stage("encrypted", chain, lambda p: load_checkpoint(p).spiking, make_encrypted)
    begun = time.perf_counter()
    images, labels = dataset.test_images, dataset.test_labels
    prediction = logits(encrypted, images, seed=settings.seed).argmax(1)
    measured = {
        "ann": accuracy(ann, images, labels),
        "converted": accuracy(converted, images, labels, seed=settings.seed),
        "encrypted": float((prediction == labels).mean()),
    }
    seconds["measure"] = round(time.perf_counter() - begun, 2)
    return StageResults(
        ann=ann, synthetic=synthetic, converted=converted, encrypted=encrypted,
        encryption_info=dict(load_checkpoint(folder / "encrypted").info), accuracy=measured, prediction=prediction,
        seconds=seconds,
    )  # fmt: skip
