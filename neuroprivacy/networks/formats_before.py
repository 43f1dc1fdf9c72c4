"""Spiking networks of checkpoint formats 1 and 2: a family with its settings ("spiking"), or steps
("spiking-graph").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuroprivacy.networks.description import network_from
from neuroprivacy.networks.families import build_snn
from neuroprivacy.networks.families import spec_from as model_from
from neuroprivacy.networks.spec import spec_from
from neuroprivacy.networks.spiking import SpikingNetwork

KINDS = ("spiking", "spiking-graph")


def network_before(kind: str, described: Mapping[str, Any], tensors: int) -> SpikingNetwork:
    """The network of a description of format 1 or 2, its tensors still to be loaded.

    Args:
        kind: one of `KINDS`.
        described: its `spec`.
        tensors: how many tensors stand beside it: a network has no more hidden layers.

    Raises:
        KeyError, TypeError, ValueError: the values are not what those formats held.
        ConfigurationError: they are no network.
    """
    values = dict(described)
    model, graph = values.pop("model"), values.pop("graph", None)
    values["time_steps"] = values.pop("steps")
    if kind == "spiking-graph":
        nodes, layers = graph["steps"], graph["layers"]
        outputs = [nodes[-1]["name"]]
        return network_from({"settings": values, "nodes": nodes, "layers": layers, "outputs": outputs})
    if len(model["hidden"]) > tensors:
        raise ValueError(f"{len(model['hidden'])} hidden layers and {tensors} tensors")
    return build_snn(model_from(model), spec_from(values))
