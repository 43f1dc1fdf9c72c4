"""Tested settings: the demo on digits, and the published runs on MNIST, Fashion-MNIST and CIFAR-10."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.data import Dataset
from neuroprivacy.encryption.class_encryption import EncryptionSettings
from neuroprivacy.experiments.settings import DeploymentSettings
from neuroprivacy.networks import model_spec
from neuroprivacy.synthesis.class_impressions import SynthesisSettings
from neuroprivacy.training import FitSettings

_EPOCHS = {"digits": 60, "mnist": 8, "fashion-mnist": 14, "cifar-10": 30}


def default_training(
    dataset: str, *, epochs: int | None = None, lr: float | None = None, batch_size: int | None = None, seed: int = 0,
    threads: int = 1,
) -> FitSettings:  # fmt: skip
    """Training of a network on a data set, with the defaults of that data set for what is None."""
    large = dataset in ("mnist", "fashion-mnist", "cifar-10", "cifar-100")
    return FitSettings(
        epochs=_EPOCHS.get(dataset, 30 if large else 200) if epochs is None else epochs,
        batch_size=(128 if large else 32) if batch_size is None else batch_size,
        lr=2e-3 if lr is None else lr, seed=seed, threads=threads,
    )  # fmt: skip


def default_deployment(dataset: Dataset, *, seed: int = 0, threads: int = 1, **model: Any) -> DeploymentSettings:
    """Settings of the end-to-end pipeline for a data set.

    Args:
        dataset: images.
        seed: of every part.
        threads: of torch.
        model: options of `model_spec`; the family is `convnet` unless given.

    Raises:
        ConfigurationError: the data set has no images and no family was given.
    """
    family = model.pop("family", "convnet" if len(dataset.sample_shape) == 3 else "mlp")
    if not dataset.sample_shape:
        raise ConfigurationError(f"{dataset.name}: samples have no shape")
    spec = model_spec(family, input_shape=dataset.sample_shape, classes=dataset.num_classes, **model)
    small = dataset.sample_shape[-1] < 16
    settings = DeploymentSettings(
        model=spec,
        training=default_training(dataset.name, seed=seed, threads=threads),
        synthesis=SynthesisSettings(seed=seed, jitter=1 if small else 2, count=1000 if small else 2000),
        seed=seed,
    )
    fit = replace(settings.encryption.fit, seed=seed, threads=threads, lr=5e-4 if small else 1e-4)
    return replace(settings, encryption=EncryptionSettings(shift=1 if small else 2, fit=fit))
