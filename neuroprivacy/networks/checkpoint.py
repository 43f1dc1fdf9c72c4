"""Checkpoints: a folder with `model.json` (what it is) and `weights.safetensors` (its tensors). Never a pickle.

`model.json` holds the digest of the weights and of itself, so that a changed byte in either file is found. The network
is built only after its shapes were held against the weights that are there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from neuroprivacy.core.errors import BadFile, ConfigurationError, NeuroPrivacyError
from neuroprivacy.core.storage import digest, read_bytes, read_json, write_bytes, write_json
from neuroprivacy.networks import families, formats_before
from neuroprivacy.networks.description import describe_network, network_from
from neuroprivacy.networks.spiking import SpikingNetwork

FORMAT = 3
#: Format 1 had no digest of `model.json` (where a file has one, it is checked all the same); up to format 2 there were
#: two kinds of spiking networks.
_READABLE = (1, 2, FORMAT)
#: Bytes of a weights file. Chosen: VGG-16 has 0.6 GB.
MAX_WEIGHT_BYTES = 8 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A network with what is known about it.

    Attributes:
        net: the ANN (`nn.Sequential`) or the `SpikingNetwork`, in eval mode.
        info: how it came to be: data set, seed, versions, accuracy.
    """

    net: nn.Module
    info: Mapping[str, Any]

    @property
    def spiking(self) -> SpikingNetwork:
        """The network, if it is a spiking one.

        Raises:
            ConfigurationError: it is an ANN.
        """
        if not isinstance(self.net, SpikingNetwork):
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
        net: a `SpikingNetwork`, or an ANN together with its `spec`.
        folder: is made if needed.
        spec: of an ANN.
        info: plain values to store with it.
    """
    if isinstance(net, SpikingNetwork):
        kind, described = "spiking-network", describe_network(net)
    elif spec is not None:
        kind, described = "ann", spec.describe()
    else:
        raise ConfigurationError("save_checkpoint: an ANN needs its spec")
    # Layers that share a weight scale have one tensor between them; in the file each has its own.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in net.state_dict().items()}
    payload = safetensors.torch.save(tensors)
    write_bytes(folder / "weights.safetensors", payload)
    content = {
        "format": FORMAT,
        "kind": kind,
        "spec": described,
        "weights_sha256": digest(payload),
        "info": dict(info or {}),
    }
    write_json(folder / "model.json", {**content, "content_sha256": content_digest(content)})
    return folder


def content_digest(described: Mapping[str, Any]) -> str:
    """SHA-256 of the content of `model.json` without its own digest."""
    content = {name: value for name, value in described.items() if name != "content_sha256"}
    return digest(json.dumps(content, sort_keys=True).encode())


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a network back, in eval mode, on the CPU.

    Raises:
        BadFile: files are missing, damaged, do not belong together, or describe no network.
    """
    folder = Path(folder)
    if folder.name == "model.json":
        folder = folder.parent
    described = _described(folder / "model.json")
    path = folder / "weights.safetensors"
    payload = read_bytes(path, limit_bytes=MAX_WEIGHT_BYTES)
    if digest(payload) != described.get("weights_sha256"):
        raise BadFile(
            path, "does not match its checksum", hint="it is truncated or was changed; train or copy it again"
        )
    try:
        tensors = safetensors.torch.load(payload)
        # Earlier files name the weight scale of a layer weight_unit.
        tensors = {re.sub(r"\bweight_unit$", "weight_scale", name): value for name, value in tensors.items()}
        with torch.device("meta"):  # shapes without memory: a description may ask for more than there is
            _build(described, tensors).load_state_dict({name: value.to("meta") for name, value in tensors.items()})
        net = _build(described, tensors)
        types = {value.dtype for value in tensors.values() if value.is_floating_point()}
        if len(types) == 1:
            net.to(types.pop())  # a network in double precision stays so
        net.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadFile(folder / "model.json", f"does not describe its weights ({error})") from error
    except NeuroPrivacyError as error:
        raise BadFile(folder / "model.json", f"is no network ({error})") from error
    if not all(torch.isfinite(value).all() for value in tensors.values() if value.is_floating_point()):
        raise BadFile(path, "holds a value that is not finite")
    return Checkpoint(net=net.eval(), info=described.get("info", {}))


def ann_spec(folder: Path) -> families.ModelSpec:
    """The ModelSpec of an ANN checkpoint.

    Raises:
        BadFile: the file is missing, damaged, or describes no network.
        ConfigurationError: it describes a spiking network.
    """
    folder = Path(folder)
    path = folder if folder.name == "model.json" else folder / "model.json"
    described = _described(path)
    try:
        if described["kind"] != "ann":
            raise ConfigurationError("model: this is a spiking network where an ANN is needed")
        return families.spec_from(described["spec"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(path, f"does not describe a network ({error})") from error


def _described(path: Path) -> dict[str, Any]:
    """The content of `model.json`, its digest checked."""
    described = read_json(path)
    if described.get("format") not in _READABLE:
        raise BadFile(path, f"has format {described.get('format')!r}, this version reads {FORMAT}")
    stated = described.get("content_sha256")
    if stated != content_digest(described) and not (stated is None and described["format"] == 1):
        raise BadFile(path, "does not match its checksum", hint="it was changed; train or copy it again")
    return described


def _build(described: Mapping[str, Any], tensors: Mapping[str, Any]) -> nn.Module:
    """A fresh network of that description, which has no more layers than there are tensors."""
    kind, spec = described["kind"], described["spec"]
    if kind == "spiking-network":
        return network_from(spec)
    if kind in formats_before.KINDS:
        return formats_before.network_before(kind, spec, len(tensors))
    if len(spec["hidden"]) > len(tensors):
        raise ValueError(f"{len(spec['hidden'])} hidden layers and {len(tensors)} tensors")
    return families.build_ann(families.spec_from(spec))
