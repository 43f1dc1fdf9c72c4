"""Class encryption training: PrivateSNN's word for retraining the converted network on synthetic images.

It is obfuscation and has no key: whoever has the chip has weights, thresholds and time steps. Its protection has to be
measured with attacks (see the report and docs/guide/threat_model.md).

    L = (1 - m)·CE(c U_L^T, y) + m·τ²·KD(A(X)/τ, c U_L^T/τ)                       Kim et al. 2022, Eq. 3
    KD(a, s) = KL(softmax(a) || softmax(s))

`c` is a constant that brings the membrane readout to the scale of the ANN's logits (least squares on the images before
training); the paper does not say how it matched them. τ² keeps the gradient's size whatever τ is (Hinton et al. 2015).
Gradients go through time by STBP with the surrogate of Eq. 5.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.core.storage import digest
from neuroprivacy.networks import SpikingNetwork, spiking_input
from neuroprivacy.networks.quantize import clamp_biases
from neuroprivacy.training.fit import FitSettings, fit
from neuroprivacy.training.network import shifted


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionSettings:
    """Settings of class encryption training.

    Attributes:
        mix: m, weight of the distillation loss; 0 is training on labels alone.
        temperature: τ of the distillation.
        shift: largest random shift of the images, pixels.
        fit: epochs, learning rate and so on.
    """

    mix: float = 0.7
    temperature: float = 20.0
    shift: int = 2
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(epochs=8, batch_size=50, lr=1e-4, schedule="steps", clip_norm=5.0)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightChange:
    """How far the retraining moved a weight matrix.

    Attributes:
        relative_distance: norm of the change, as a share of the norm of the weights before.
        cosine: of the weights before and after, -1 ... 1.
    """

    relative_distance: float
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encrypted:
    """A retrained network, and what retraining changed.

    Attributes:
        network: on the CPU, in eval mode.
        loss: mean of each epoch.
        readout_scale: c of Eq. 3's logits.
        weights: parameter name -> how far it moved.
    """

    network: SpikingNetwork
    loss: list[float]
    readout_scale: float
    weights: dict[str, WeightChange]

    def describe(self) -> dict[str, object]:
        """Everything but the network, as plain JSON values."""
        weights = {name: asdict(change) for name, change in self.weights.items()}
        return {"loss": self.loss, "readout_scale": self.readout_scale, "weights": weights}


def encrypt(
    net: SpikingNetwork,
    *,
    teacher: nn.Module,
    images: NDArray[np.float32],
    settings: EncryptionSettings | None = None,
    state_folder: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: Progress = silent,
) -> Encrypted:
    """Retrain a converted network so that its weights are no longer the ANN's.

    Args:
        net: the converted network; it is not changed.
        teacher: the ANN, which is not changed; its outputs are the labels and the target of the distillation.
        images: synthetic images (samples, *shape) in [0, 1].
        settings: how.
        state_folder: see `neuroprivacy.training.fit`; likewise `resume` and `progress`.
        device: "cpu" or "cuda".

    Raises:
        ConfigurationError: the images are not of the network's shape, or it takes events.
    """
    chosen = settings or EncryptionSettings()
    if images.shape[1:] != net.input_shape:
        raise ConfigurationError(f"images: shape {images.shape[1:]} is not the network's {net.input_shape}")
    trained = deepcopy(net).to(device)
    teacher = deepcopy(teacher).to(device).eval()
    inputs = torch.from_numpy(np.array(images, np.float32))
    torch.manual_seed(chosen.fit.seed)
    scale = readout_scale(trained, teacher, inputs[:500].to(device))
    picture = len(net.input_shape) == 3

    def loss(x: Tensor, _: Tensor) -> Tensor:
        """Eq. 3 for one batch of images."""
        with torch.no_grad():
            answer = teacher(x)
        own = scale * trained(spiking_input(x, spec=trained.spec)).readout
        return distillation_loss(own, answer, mix=chosen.mix, temperature=chosen.temperature)

    history = fit(
        trained,
        inputs,
        torch.zeros(len(inputs)),
        loss=loss,
        settings=chosen.fit,
        augment=(lambda x: shifted(x, chosen.shift, flip=False)) if picture and chosen.shift else None,
        project=lambda: clamp_biases(trained),
        state_folder=state_folder,
        resume=resume,
        identity=_identity(net, teacher, inputs, chosen),
        progress=progress,
    )
    trained = trained.cpu().eval()
    return Encrypted(network=trained, loss=history, readout_scale=scale, weights=weight_change(net, trained))


def _identity(net: SpikingNetwork, teacher: nn.Module, images: Tensor, chosen: EncryptionSettings) -> str:
    """Digest of all that a retraining run depends on beside its fit settings."""
    tensors = [*net.state_dict().values(), *teacher.state_dict().values(), images]
    described = repr((net.spec, chosen.mix, chosen.temperature, chosen.shift)).encode()
    return digest(described + b"".join(t.detach().cpu().numpy().tobytes() for t in tensors))


def distillation_loss(own: Tensor, teacher: Tensor, *, mix: float, temperature: float) -> Tensor:
    """(1 - m)·CE(own, argmax teacher) + m·τ²·KL(softmax(teacher/τ) || softmax(own/τ)); both (batch, classes)."""
    hard = nn.functional.cross_entropy(own, teacher.argmax(1))
    soft = nn.functional.kl_div(
        (own / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="batchmean"
    )
    return (1 - mix) * hard + mix * temperature**2 * soft


@torch.no_grad()
def readout_scale(net: SpikingNetwork, teacher: nn.Module, images: Tensor, *, batch: int = 50) -> float:
    """c that brings centred readouts nearest to centred ANN logits: Σ z U / Σ U²."""
    net.eval()
    readout = torch.cat([net(spiking_input(part, spec=net.spec)).readout for part in torch.split(images, batch)])
    logits = teacher(images)
    readout = readout - readout.mean(1, keepdim=True)
    logits = logits - logits.mean(1, keepdim=True)
    power = float((readout * readout).sum())
    return float((logits * readout).sum()) / power if power > 0 else 1.0 / net.spec.time_steps


def weight_change(before: SpikingNetwork, after: SpikingNetwork) -> dict[str, WeightChange]:
    """Compare two networks' weights: parameter name -> relative distance and cosine."""
    old = dict(before.named_parameters())
    table: dict[str, WeightChange] = {}
    for name, new in after.named_parameters():
        a, b = old[name].detach().cpu().flatten(), new.detach().cpu().flatten()
        norm = float(a.norm())
        table[name.removeprefix("layers.")] = WeightChange(
            relative_distance=float((b - a).norm()) / norm if norm else 0.0,
            cosine=float(torch.dot(a, b)) / (norm * float(b.norm())) if norm else 0.0,
        )
    return table
