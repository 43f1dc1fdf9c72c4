"""Data-free images from a trained ANN: class impressions, optimised in batches.

Step 1 of PrivateSNN (Kim et al. 2022, Algorithm 2), after Nayak et al. 2019: soft labels are drawn from a Dirichlet
distribution whose concentration is a class's similarity to the others, and images are optimised until the ANN's
outputs are these labels. Where paper and published code differ, and what is added here:

- similarity: paper Eq. 2 squares the norms; the code takes the cosine and stretches rows to [0, 1]. Here as the code,
  clamped to 1e-3, because 0 is no concentration;
- images: one by one in paper and code, in batches here;
- optimiser: not stated in the paper; Adam at 1e-3 for 1499 to 2499 steps, logits divided by 20, in the code. Here Adam
  with a rate that falls on a cosine, and logits as they are: divided by 20 they drive activations far above real ones;
- jitter, and a regulariser (total variation and mean intensity, its strength drawn for each image, none for some): only
  here. Without it images are far brighter and noisier than real ones, thresholds found on them are too high, and
  hard-reset networks fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.core.storage import read_arrays, read_json, write_arrays, write_json
from neuroprivacy.training.network import shifted


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisSettings:
    """How the synthetic images are made.

    Attributes:
        count: images in all, spread evenly over the classes.
        iterations: of the optimiser.
        batch_size: images optimised together.
        lr: Adam's rate at the start.
        concentration: factors of the Dirichlet concentration, one drawn for each image; small ones give sharp labels.
        total_variation: mean weight of the total variation of regularised images.
        intensity: mean weight of their mean brightness.
        plain: share of images without regulariser.
        jitter: largest random shift while optimising, pixels; images only.
        seed: of everything drawn.
    """

    count: int = 2000
    iterations: int = 120
    batch_size: int = 250
    lr: float = 0.05
    concentration: tuple[float, ...] = (1.0, 0.1)
    total_variation: float = 5.0
    intensity: float = 5.0
    plain: float = 0.5
    jitter: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SyntheticSet:
    """Synthetic images with their labels.

    Attributes:
        images: float32 (samples, *shape) in [0, 1], in random order.
        soft_labels: float32 (samples, classes), what each was optimised for.
        classes: int64 (samples,), whose similarity its soft label was drawn from.
        settings: how they were made.
    """

    images: NDArray[np.float32]
    soft_labels: NDArray[np.float32]
    classes: NDArray[np.int64]
    settings: SynthesisSettings

    def save(self, folder: Path) -> Path:
        """Write `synthetic.npz` and `synthetic.json`."""
        arrays: dict[str, NDArray[Any]] = {
            "images": self.images,
            "soft_labels": self.soft_labels,
            "classes": self.classes,
        }
        write_arrays(folder / "synthetic.npz", arrays)
        write_json(folder / "synthetic.json", {"format": 2, "settings": asdict(self.settings)})
        return folder


def load_synthetic(folder: Path) -> SyntheticSet:
    """Read a set that `SyntheticSet.save` wrote.

    Raises:
        BadFile: files are missing or damaged.
    """
    described = read_json(Path(folder) / "synthetic.json")
    arrays = read_arrays(Path(folder) / "synthetic.npz")
    try:
        settings = dict(described["settings"])
        if described.get("format") == 1:
            settings["iterations"] = settings.pop("steps")
        return SyntheticSet(
            images=np.asarray(arrays["images"], np.float32),
            soft_labels=np.asarray(arrays["soft_labels"], np.float32),
            classes=np.asarray(arrays["classes"], np.int64),
            settings=SynthesisSettings(**{**settings, "concentration": tuple(settings["concentration"])}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(folder, f"is no synthetic set ({error})") from error


def class_similarity(weight: Tensor) -> Tensor:
    """Similarity of classes by the last layer's weights: (classes, features) -> (classes, classes) in [1e-3, 1].

    Cosine, each row stretched to [0, 1] and clamped: a concentration of 0 is not a distribution.

    Source: Kim et al. 2022, Eq. 2, in the form of their published code.
    """
    normalized = nn.functional.normalize(weight, dim=1)
    cosine = normalized @ normalized.t()
    low, high = cosine.amin(1, keepdim=True), cosine.amax(1, keepdim=True)
    return ((cosine - low) / (high - low).clamp(min=1e-12)).clamp(min=1e-3)


def synthesize(
    ann: nn.Sequential,
    *,
    input_shape: tuple[int, ...],
    settings: SynthesisSettings | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> SyntheticSet:
    """Make samples from a trained ANN alone.

    Args:
        ann: the network; its last layer is linear.
        input_shape: of one sample.
        settings: how.
        device: "cpu" or "cuda".
        progress: called after every iteration.
    """
    chosen = settings or SynthesisSettings()
    last = [m for m in ann.modules() if isinstance(m, nn.Linear)]
    if not last or chosen.count < 1:
        raise ConfigurationError("synthesize: the network has no linear output layer, or no image is asked for")
    frozen = _frozen_copy(ann).to(device)
    similarity = class_similarity(last[-1].weight.detach().float().cpu())
    classes = len(similarity)
    total = math.ceil(chosen.count / chosen.batch_size) * chosen.iterations
    images, labels, owners = [], [], []
    for batch, first in enumerate(range(0, chosen.count, chosen.batch_size)):
        torch.manual_seed(chosen.seed * 1_000_003 + batch)
        size = min(chosen.batch_size, chosen.count - first)
        owner = torch.arange(first, first + size) % classes
        factor = torch.tensor(chosen.concentration)[torch.randint(len(chosen.concentration), (size, 1))]
        label = torch.distributions.Dirichlet((similarity[owner] * factor).clamp(min=1e-3)).sample()

        def report(iteration: int, loss: float, done: int = batch * chosen.iterations) -> None:
            progress(done + iteration, total, f"loss {loss:.3f}")

        images.append(_optimise(frozen, label.to(device), input_shape, chosen, report).cpu())
        labels.append(label)
        owners.append(owner)
    order = torch.randperm(chosen.count, generator=torch.Generator().manual_seed(chosen.seed))
    return SyntheticSet(
        images=torch.cat(images)[order].numpy(),
        soft_labels=torch.cat(labels)[order].numpy(),
        classes=torch.cat(owners)[order].numpy(),
        settings=chosen,
    )


def _frozen_copy(ann: nn.Sequential) -> nn.Sequential:
    """A copy in eval mode whose parameters need no gradients."""
    copy = deepcopy(ann).eval()
    for parameter in copy.parameters():
        parameter.requires_grad_(False)
    return copy


def _optimise(
    ann: nn.Sequential,
    label: Tensor,
    shape: tuple[int, ...],
    chosen: SynthesisSettings,
    report: Callable[[int, float], None],
) -> Tensor:
    """Images whose outputs match `label`: (batch, classes) -> (batch, *shape) in [0, 1]."""
    size, picture = len(label), len(shape) == 3
    regularised = (torch.rand(size) >= chosen.plain).float().to(label.device)
    strength = [(torch.rand(size) * 1.5 + 0.25).to(label.device) * regularised for _ in range(2)]
    x = torch.rand(size, *shape).to(label.device).requires_grad_(True)
    optimiser = torch.optim.Adam([x], lr=chosen.lr)
    for iteration in range(chosen.iterations):
        for group in optimiser.param_groups:
            group["lr"] = chosen.lr * 0.5 * (1 + math.cos(math.pi * iteration / chosen.iterations)) + 1e-4
        moving = picture and chosen.jitter and iteration < 0.8 * chosen.iterations
        seen = shifted(x, chosen.jitter, flip=False) if moving else x
        loss = -(label * ann(seen).log_softmax(1)).sum(1)
        loss = loss + chosen.intensity * strength[1] * x.abs().flatten(1).mean(1)
        if picture:
            loss = loss + chosen.total_variation * strength[0] * _total_variation(x)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        with torch.no_grad():
            x.clamp_(0, 1)
        report(iteration + 1, loss.mean().item())
    return x.detach()


def _total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, rows plus columns: (batch, channels, height, width) -> (batch,)."""
    rows = (x[..., 1:, :] - x[..., :-1, :]).abs().flatten(1).mean(1)
    columns = (x[..., 1:] - x[..., :-1]).abs().flatten(1).mean(1)
    return rows + columns
