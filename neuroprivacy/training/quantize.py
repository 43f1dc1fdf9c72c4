"""Quantization-aware training: a trained spiking network is trained on in a target's integers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.data import Dataset
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.networks import SpikingNetwork, quantize_weights
from neuroprivacy.training.accuracy import accuracy
from neuroprivacy.training.fit import FitSettings
from neuroprivacy.training.network import train
from neuroprivacy.training.quantized_start import quantized_start


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedTraining:
    """The result of quantization-aware training.

    Attributes:
        network: with quantized weights and the target's integer neurons, on the CPU, in eval mode.
        accuracy_before: on the test split, quantized but not trained.
        accuracy: on the test split, after training.
    """

    network: SpikingNetwork
    accuracy_before: float
    accuracy: float


def train_quantized(
    net: SpikingNetwork,
    *,
    dataset: Dataset,
    bits: WeightBits,
    target: str,
    settings: FitSettings,
    populations: int = 4,
    calibration_samples: int = 500,
    state_folder: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: Progress = silent,
) -> QuantizedTraining:
    """Quantize a trained network and train it on.

    Args:
        net: a float network; it is not changed.
        dataset: images in [0, 1].
        bits: width of the weights, 2 ... 8 or "ternary".
        target: the chip whose integer neurons are computed.
        settings: epochs, learning rate and so on.
        populations: largest number of populations of a layer, each with a weight scale.
        calibration_samples: training images for the calibrated start; 0 rounds each layer by itself.
        state_folder: see `fit`; likewise `resume` and `progress`.
        device: "cpu" or "cuda".

    Raises:
        ConfigurationError: the network has no common weight scales, or the calibrated start does not fit the target.
        DoesNotFit, UnsupportedNode: the network cannot be lowered.
    """
    if calibration_samples:
        images = dataset.train_images[:calibration_samples]
        start = quantized_start(net, bits=bits, target=target, populations=populations, images=images)
    else:
        start = quantize_weights(net, bits, state_target=target, populations=populations)
    trained = train(
        start, dataset=dataset, settings=settings, state_folder=state_folder, resume=resume, device=device,
        progress=progress,
    )  # fmt: skip
    assert isinstance(trained, SpikingNetwork)
    before, after = (accuracy(each, dataset.test_images, dataset.test_labels) for each in (start, trained))
    return QuantizedTraining(network=trained, accuracy_before=before, accuracy=after)
