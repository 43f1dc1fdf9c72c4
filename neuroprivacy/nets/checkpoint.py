"""Checkpoints: a folder with `model.json` (what it is) and `weights.safetensors` (its tensors). Never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from neuroprivacy.errors import BadFile, ConfigurationError, NeuroPrivacyError
from neuroprivacy.nets import families, spiking
from neuroprivacy.nets.spiking import SpikingNet
from neuroprivacy.storage import digest, read_json, write_bytes, write_json

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A network with what is known about it.

    Attributes:
        net: the ANN (`nn.Sequential`) or `SpikingNet`, in eval mode.
        info: how it came to be: data set, seed, versions, accuracy.
    """

    net: nn.Module
    info: Mapping[str, Any]

    @property
    def spiking(self) -> SpikingNet:
        """The network, if it is a spiking one.

        Raises:
            ConfigurationError: it is an ANN.
        """
        if not isinstance(self.net, SpikingNet):
            raise ConfigurationError("model: this is an ANN where a spiking network is needed; run convert first")
        return self.net

    @property
    def ann(self) -> nn.Sequential:
        """The network, if it is an ANN.

        Raises:
            ConfigurationError: it is a spiking network.
        """
        if not isinstance(self.net, nn.Sequential):
            raise ConfigurationError("model: this is a spiking network where an ANN is needed")
        return self.net


def save_checkpoint(
    net: nn.Module, folder: Path, *, spec: families.ModelSpec | None = None, info: Mapping[str, Any] | None = None
) -> Path:
    """Write a network; the weights first, so that a folder with a `model.json` is complete.

    Args:
        net: a `SpikingNet`, or an ANN together with its `spec`.
        folder: is made if needed.
        spec: of an ANN.
        info: plain values to store with it.
    """
    if isinstance(net, SpikingNet):
        kind, described = "spiking", net.spec.describe()
    elif spec is not None:
        kind, described = "ann", spec.describe()
    else:
        raise ConfigurationError("save_checkpoint: an ANN needs its spec")
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    payload = safetensors.torch.save(tensors)
    write_bytes(folder / "weights.safetensors", payload)
    write_json(
        folder / "model.json",
        {
            "format": FORMAT,
            "kind": kind,
            "spec": described,
            "weights_sha256": digest(payload),
            "info": dict(info or {}),
        },
    )
    return folder


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a network back, in eval mode, on the CPU.

    Raises:
        BadFile: files are missing, damaged, do not belong together, or describe no network.
    """
    folder = Path(folder)
    if folder.name == "model.json":
        folder = folder.parent
    described = read_json(folder / "model.json")
    path = folder / "weights.safetensors"
    if described.get("format") != FORMAT:
        raise BadFile(folder / "model.json", f"has format {described.get('format')!r}, this version reads {FORMAT}")
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from error
    if digest(payload) != described.get("weights_sha256"):
        raise BadFile(
            path, "does not match its checksum", hint="it is truncated or was changed; train or copy it again"
        )
    try:
        tensors = safetensors.torch.load(payload)
        net: nn.Module
        if described["kind"] == "spiking":
            net = SpikingNet(spiking.spec_from(described["spec"]))
        else:
            net = families.build_ann(families.spec_from(described["spec"]))
        net.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadFile(folder / "model.json", f"does not describe its weights ({error})") from error
    except NeuroPrivacyError as error:
        raise BadFile(folder / "model.json", f"is no network ({error})") from error
    if not all(torch.isfinite(value).all() for value in tensors.values() if value.is_floating_point()):
        raise BadFile(path, "holds a value that is not finite")
    return Checkpoint(net=net.eval(), info=described.get("info", {}))


def ann_spec(folder: Path) -> families.ModelSpec:
    """The ModelSpec of an ANN checkpoint."""
    folder = Path(folder)
    described = read_json(folder if folder.name == "model.json" else folder / "model.json")
    spec = described["spec"]
    return families.spec_from(spec["model"] if described["kind"] == "spiking" else spec)
