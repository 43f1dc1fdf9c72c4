"""Train an ANN, or a spiking network directly with surrogate gradients, on a data set."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.core.storage import digest
from neuroprivacy.data import Dataset
from neuroprivacy.networks import ModelSpec, SpikingNetwork, SpikingSpec, build_ann, build_snn, spiking_input
from neuroprivacy.networks.quantize import clamp_biases
from neuroprivacy.training.fit import FitSettings, fit

#: Augmentation by data set: largest random shift in pixels, and whether images are mirrored. Others get none.
AUGMENTATION = {"mnist": (2, False), "fashion-mnist": (1, True), "cifar-10": (4, True), "cifar-100": (4, True)}


def train(
    model: ModelSpec | nn.Sequential | SpikingNetwork,
    *,
    dataset: Dataset,
    settings: FitSettings,
    spiking: SpikingSpec | None = None,
    state_folder: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: Progress = silent,
) -> nn.Sequential | SpikingNetwork:
    """Train a network on the training split of `dataset`.

    Args:
        model: the layers of a fresh network; or a network to train on, which is not changed.
        dataset: images in [0, 1].
        settings: epochs, learning rate and so on.
        spiking: settings of a fresh spiking network, which is trained by backpropagation through time (its schedule
            "chip" trains under the chip's latency and bias timing); None trains an ANN, or goes on with the network.
        state_folder: see `fit`; likewise `resume` and `progress`.
        device: "cpu" or "cuda".

    Returns:
        The trained network on the CPU, in eval mode.

    Raises:
        ConfigurationError: the coding of a fresh spiking network does not fit the model, or `spiking` is given with a
            network that exists.
    """
    if spiking is not None and not isinstance(model, ModelSpec):
        raise ConfigurationError(
            "train: `spiking` describes a fresh network; convert an ANN first, or give its ModelSpec"
        )
    torch.manual_seed(settings.seed)
    net: nn.Sequential | SpikingNetwork
    if isinstance(model, ModelSpec):
        net = build_ann(model) if spiking is None else build_snn(model, spiking)
    else:
        net = deepcopy(model)
    net.to(device)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of the network's outputs; a spiking readout is divided by T."""
        if isinstance(net, SpikingNetwork):
            readout = net(spiking_input(x, spec=net.spec)).readout / net.spec.time_steps
            return nn.functional.cross_entropy(readout, y)
        return nn.functional.cross_entropy(net(x), y)

    limit, flip = AUGMENTATION.get(dataset.name, (0, False))

    def augment(x: Tensor) -> Tensor:
        """Random shift of the batch, and mirror images of natural pictures."""
        return shifted(x, limit, flip=flip)

    fit(
        net,
        torch.from_numpy(dataset.train_images.copy()),
        torch.from_numpy(dataset.train_labels.copy()),
        loss=loss,
        settings=settings,
        augment=augment if limit else None,
        project=(lambda: clamp_biases(net)) if isinstance(net, SpikingNetwork) and net.spec.state_target else None,
        state_folder=state_folder,
        resume=resume,
        identity=digest(repr((_identity(model), spiking, dataset.digest())).encode()),
        progress=progress,
    )
    return net.cpu().eval()


def _identity(model: ModelSpec | nn.Module) -> str:
    """Digest of what training begins with."""
    if isinstance(model, ModelSpec):
        return repr(model)
    described = repr(model.spec.describe() if isinstance(model, SpikingNetwork) else "").encode()
    return digest(
        b"".join([described, *(value.detach().cpu().numpy().tobytes() for value in model.state_dict().values())])
    )


def shifted(x: Tensor, limit: int, *, flip: bool) -> Tensor:
    """Each image moved by up to `limit` pixels on each axis (zeros come in), half of them mirrored if `flip`."""
    padded = nn.functional.pad(x, (limit,) * 4)
    height, width = x.shape[2:]
    rows = torch.randint(0, 2 * limit + 1, (len(x), 1, 1, 1), device=x.device)
    columns = torch.randint(0, 2 * limit + 1, (len(x), 1, 1, 1), device=x.device)
    index_rows = (rows + torch.arange(height, device=x.device).view(1, 1, -1, 1)).expand(
        -1, x.shape[1], -1, padded.shape[3]
    )
    moved = padded.gather(2, index_rows)
    index_columns = (columns + torch.arange(width, device=x.device)).expand(-1, x.shape[1], height, -1)
    moved = moved.gather(3, index_columns)
    if flip:
        mirrored = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
        moved = torch.where(mirrored, moved.flip(3), moved)
    return moved
