"""What a `SpikingGraph` is, in plain values: its steps, and the layers of torch that they are made of.

Only the layers named here are written or made; nothing in a file names a class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks.neuron import SpikingNeuron
from neuroprivacy.networks.quantized import state_unit, weight_unit
from neuroprivacy.networks.spiking import spec_from
from neuroprivacy.networks.spiking_graph import Scale, SpikingGraph, Step
from neuroprivacy.networks.surrogate import Surrogate

_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
#: Layer -> what makes one; each has a bias or not, beside these.
_FIELDS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.Conv1d: _CONV,
    nn.Conv2d: _CONV,
    nn.AvgPool2d: ("kernel_size", "stride", "padding"),
    nn.Flatten: (),
}
_WITH_BIAS = (nn.Linear, nn.Conv1d, nn.Conv2d)
_MAKERS: dict[str, Callable[..., nn.Module]] = {kind.__name__: kind for kind in _FIELDS}


def describe_graph(net: SpikingGraph) -> dict[str, Any]:
    """Plain JSON values; `graph_from` is the inverse, up to the tensors.

    Raises:
        ConfigurationError: a layer is none of those that can be written.
    """
    steps = [{"name": s.name, "kind": s.kind, "sources": list(s.sources), "shape": list(s.shape)} for s in net.steps]
    layers = {name: _described(name, module) for name, module in net.layers.items()}
    return {**net.spec.describe(), "graph": {"steps": steps, "layers": layers}}


def graph_from(described: Mapping[str, Any]) -> SpikingGraph:
    """The network that `describe_graph` wrote down, its tensors still to be loaded.

    Raises:
        ConfigurationError: the steps are no network.
        KeyError, TypeError, ValueError: the values are not what `describe_graph` writes.
    """
    values = dict(described)
    graph = values.pop("graph")
    steps = [
        Step(name=str(s["name"]), kind=s["kind"], sources=tuple(s["sources"]), shape=tuple(s["shape"]))
        for s in graph["steps"]
    ]
    return SpikingGraph(spec_from(values), steps, {name: _made(layer) for name, layer in graph["layers"].items()})


def _described(name: str, module: nn.Module) -> dict[str, Any]:
    if isinstance(module, Scale):
        return {"layer": "Scale"}
    if isinstance(module, SpikingNeuron):
        surrogate = module.surrogate
        return {
            "layer": "SpikingNeuron", "beta": module.beta, "reset": module.reset, "surrogate": surrogate.name,
            "surrogate_scale": surrogate.scale, "detach_reset": module.detach_reset,
            "learn_threshold": isinstance(module.threshold, nn.Parameter),
        }  # fmt: skip
    if type(module) not in _FIELDS:
        raise ConfigurationError(f"{name}: {type(module).__name__} cannot be stored in a checkpoint; save it as .nir")
    values = {field: getattr(module, field) for field in _FIELDS[type(module)]}
    if isinstance(module, _WITH_BIAS):
        values["bias"] = module.bias is not None
        unit = weight_unit(module)
        values["unit"] = None if unit is None else list(unit.shape)
    return {"layer": type(module).__name__, **values}


def _made(described: Mapping[str, Any]) -> nn.Module:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in described.items()}
    kind = values.pop("layer")
    if kind == "Scale":
        return Scale(1.0)
    if kind == "SpikingNeuron":
        surrogate = Surrogate(name=values.pop("surrogate"), scale=values.pop("surrogate_scale"))
        return SpikingNeuron(surrogate=surrogate, **values)
    if kind not in _MAKERS:
        raise ConfigurationError(f"checkpoint: {kind!r} is no layer that can be made; choose {', '.join(_MAKERS)}")
    unit = values.pop("unit", None)
    made = _MAKERS[kind](**values)
    if unit is not None:
        state_unit(made, torch.zeros(unit))
    return made
