"""Settings of a deployment run; with the data set they determine it."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuroprivacy.conversion import ThresholdMethod
from neuroprivacy.encryption.class_encryption import EncryptionSettings
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks import ModelSpec
from neuroprivacy.program.encoder import Coding
from neuroprivacy.synthesis.class_impressions import SynthesisSettings
from neuroprivacy.training import FitSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """Settings of a deployment run; with the data set they determine it.

    Attributes:
        model: layers of the ANN.
        training: of the ANN.
        synthesis: of the images.
        conversion: method that finds thresholds.
        encryption: of the converted network.
        steps: time steps T; likewise `reset` and `coding`.
        target: name of the chip.
        backends: compared with the reference.
        verify_samples: number of test samples on which every integer is compared.
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
