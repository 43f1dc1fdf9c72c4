"""The training loop: epochs of seeded batches, a state on disk after each; a resumed run ends the same to the bit.

Every epoch draws its order and its noise from (seed, epoch) alone. So a resumed run needs the network, the optimizer
and the number of finished epochs, and no generator state. The number of threads changes floating-point results, so it
is stored too and a resume with another number is refused.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import BadFile, ConfigurationError, NeuroPrivacyError
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.core.storage import write_bytes

Loss = Callable[[Tensor, Tensor], Tensor]
Augment = Callable[[Tensor], Tensor]
_STATE = "training.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Settings of training.

    Attributes:
        epochs: passes over the data.
        batch_size: samples per step.
        lr: learning rate at the start.
        optimizer: "adam" or "sgd" (momentum 0.9).
        weight_decay: L2.
        schedule: "cosine" to zero, "steps" (a tenth at each of `milestones`), or "constant".
        milestones: fractions of all epochs at which the rate falls, for "steps".
        clip_norm: gradients are clipped to this norm; 0 for none.
        seed: of order, dropout and encoding.
        threads: torch threads; they change floating-point results.
    """

    epochs: int
    batch_size: int = 64
    lr: float = 1e-3
    optimizer: Literal["adam", "sgd"] = "adam"
    weight_decay: float = 0.0
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    milestones: tuple[float, ...] = (0.5, 0.7)
    clip_norm: float = 0.0
    seed: int = 0
    threads: int = 2

    def rate(self, progress: float) -> float:
        """Learning rate after the fraction `progress` (0 ... 1) of all steps."""
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * progress))
        if self.schedule == "steps":
            return float(self.lr * 0.1 ** sum(progress >= milestone for milestone in self.milestones))
        return self.lr


def fit(
    net: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    loss: Loss,
    settings: FitSettings,
    augment: Augment | None = None,
    project: Callable[[], None] | None = None,
    state_folder: Path | None = None,
    resume: bool = False,
    identity: str = "",
    progress: Progress = silent,
) -> list[float]:
    """Train `net` in place on its device.

    Args:
        net: parameters that require gradients are trained.
        inputs: (samples, ...), on any device; moved batch by batch.
        targets: (samples, ...), passed to `loss`.
        loss: of (input batch, target batch); it calls the network itself.
        settings: how.
        augment: applied to each input batch.
        project: called after each step of the optimizer, to bring parameters back to where they may be.
        state_folder: the state after each epoch is written here; None for nowhere.
        resume: continue from that state, if there is one.
        identity: of everything else that the run depends on (data, network); a state of another one is refused.
        progress: called after every step.

    Returns:
        Mean loss of each epoch.

    Raises:
        NeuroPrivacyError: the loss or a parameter is no longer finite.
        BadFile: the state is damaged or belongs to another run.
    """
    if settings.epochs < 0 or settings.batch_size < 1 or not len(inputs):
        raise ConfigurationError(f"fit: {settings.epochs} epochs of {len(inputs)} samples cannot be run")
    torch.set_num_threads(settings.threads)
    device = next(net.parameters()).device
    history, optimizer = _begin(net, settings, state_folder / _STATE if state_folder and resume else None, identity)
    batches = math.ceil(len(inputs) / settings.batch_size)
    total = settings.epochs * batches
    for epoch in range(len(history), settings.epochs):
        net.train()
        seed = settings.seed * 1_000_003 + epoch
        torch.manual_seed(seed)
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
        mean = 0.0
        for step in range(batches):
            index = order[step * settings.batch_size : (step + 1) * settings.batch_size]
            x, y = inputs[index].to(device), targets[index].to(device)
            for group in optimizer.param_groups:
                group["lr"] = settings.rate((epoch * batches + step) / total)
            value = loss(augment(x) if augment else x, y)
            if not torch.isfinite(value):
                raise NeuroPrivacyError(
                    f"training: the loss is {value.item()} in epoch {epoch + 1}, step {step + 1}; lower --lr"
                )
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            if settings.clip_norm:
                nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
            optimizer.step()
            if project is not None:
                project()
            mean += value.item() * len(index) / len(inputs)
            progress(epoch * batches + step + 1, total, f"epoch {epoch + 1}/{settings.epochs}, loss {value.item():.3f}")
        _check_finite(net)
        history.append(mean)
        if state_folder is not None:
            _store(state_folder / _STATE, net, optimizer, settings, history, identity)
    net.eval()
    return history


def _optimizer(net: nn.Module, settings: FitSettings) -> torch.optim.Optimizer:
    trained = [p for p in net.parameters() if p.requires_grad]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=settings.lr, momentum=0.9, weight_decay=settings.weight_decay)
    return torch.optim.Adam(trained, lr=settings.lr, weight_decay=settings.weight_decay)


def _check_finite(net: nn.Module) -> None:
    for name, value in net.named_parameters():
        if not torch.isfinite(value).all():
            raise NeuroPrivacyError(f"training: {name} is no longer finite; lower --lr")


def _store(
    path: Path,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: FitSettings,
    history: list[float],
    identity: str,
) -> None:
    stream = io.BytesIO()
    state: dict[str, Any] = {
        "settings": asdict(settings),
        "identity": identity,
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
    }
    torch.save(state, stream)
    write_bytes(path, stream.getvalue())


def _begin(
    net: nn.Module, settings: FitSettings, path: Path | None, identity: str
) -> tuple[list[float], torch.optim.Optimizer]:
    """The history so far and the optimizer, from the state in `path` if there is one."""
    if path is None or not path.exists():
        return [], _optimizer(net, settings)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["identity"] != identity:
            raise BadFile(path, "belongs to a run on other data or another network", hint="use the same options")
        differing = [k for k, v in asdict(settings).items() if k != "epochs" and state["settings"][k] != v]
        if differing:
            raise BadFile(
                path, f"belongs to a run with other settings ({', '.join(differing)})", hint="use the same options"
            )
        if state["settings"]["epochs"] != settings.epochs and settings.schedule != "constant":
            raise BadFile(path, "belongs to a run of another length", hint="use the same --epochs")
        net.load_state_dict(state["net"])
        optimizer = _optimizer(net, settings)  # not before: a quantized layer makes new parameters when it loads
        optimizer.load_state_dict(state["optimizer"])
        return list(state["history"]), optimizer
    except BadFile:
        raise
    except Exception as error:  # torch.load raises many types on damaged files
        raise BadFile(
            path, f"is not a training state ({type(error).__name__})", hint="start without --resume"
        ) from error


def discard_state(folder: Path) -> None:
    """Remove the state of a finished run."""
    (folder / _STATE).unlink(missing_ok=True)
