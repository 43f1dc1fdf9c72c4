"""What a `SpikingNetwork` is, in plain values: its nodes, and the layers of torch that they are made of.

Only the layers named here are written or made; nothing in a file names a class. The tensors stand apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks.layer_graph import Node
from neuroprivacy.networks.layers import Delay, Scale, SumPool2d, check_options
from neuroprivacy.networks.neuron import SpikingNeuron
from neuroprivacy.networks.quantize import quantize_weights
from neuroprivacy.networks.quantized import QuantizedScale, register_weight_scale, weight_scale_of
from neuroprivacy.networks.spec import spec_from
from neuroprivacy.networks.spiking import SpikingNetwork
from neuroprivacy.networks.surrogate import Surrogate

_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
#: Layer -> what makes one; each has a bias or not, beside these.
_FIELDS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.Conv1d: _CONV,
    nn.Conv2d: _CONV,
    nn.AvgPool2d: ("kernel_size", "stride", "padding"),
    SumPool2d: ("kernel_size", "stride", "padding"),
    nn.Flatten: (),
    nn.Unflatten: ("dim", "unflattened_size"),
    nn.Dropout: ("p",),
}
_WITH_BIAS = (nn.Linear, nn.Conv1d, nn.Conv2d)
_MAKERS: dict[str, Callable[..., nn.Module]] = {kind.__name__: kind for kind in _FIELDS}
_CONSTANTS = ("beta", "alpha", "gain", "v_bias", "v_init")


def describe_network(net: SpikingNetwork) -> dict[str, Any]:
    """Plain JSON values; `network_from` is the inverse, up to the tensors.

    Raises:
        ConfigurationError: a layer is none of those that can be written.
        UnsupportedNode: a layer has an option that is not written.
    """
    nodes = [{"name": n.name, "kind": n.kind, "sources": list(n.sources), "shape": list(n.shape)} for n in net.nodes]
    layers = {name: _described(name, module) for name, module in net.layers.items()}
    return {"settings": net.spec.describe(), "nodes": nodes, "layers": layers, "outputs": list(net.outputs)}


def network_from(described: Mapping[str, Any]) -> SpikingNetwork:
    """The network that `describe_network` wrote down, its tensors still to be loaded.

    Raises:
        ConfigurationError: the nodes are no network.
        KeyError, TypeError, ValueError: the values are not what `describe_network` writes.
    """
    spec = spec_from(described["settings"])
    nodes = [
        Node(name=str(n["name"]), kind=n["kind"], sources=tuple(n["sources"]), shape=tuple(int(s) for s in n["shape"]))
        for n in described["nodes"]
    ]
    layers = {name: layer_from(layer) for name, layer in described["layers"].items()}
    plain = replace(spec, weight_bits=None, state_target=None, populations=1)
    net = SpikingNetwork(plain, nodes, layers, outputs=tuple(described["outputs"]))
    if spec.weight_bits is None:
        return net
    return quantize_weights(net, spec.weight_bits, state_target=spec.state_target, populations=spec.populations)


def _described(name: str, module: nn.Module) -> dict[str, Any]:
    if isinstance(module, Scale | QuantizedScale):
        return {"layer": "Scale", "shape": list(module.factor.shape), "weight_scale": _weight_scale_shape(module)}
    if isinstance(module, Delay):
        return {"layer": "Delay", "time_steps": module.time_steps.tolist()}
    if isinstance(module, SpikingNeuron):
        surrogate = module.surrogate
        constants = {field: _constant(getattr(module, field)) for field in _CONSTANTS}
        return {
            "layer": "SpikingNeuron", **constants, "threshold": list(module.threshold.shape), "reset": module.reset,
            "fires": module.fires, "surrogate": surrogate.name, "surrogate_scale": surrogate.scale,
            "detach_reset": module.detach_reset, "learn_threshold": isinstance(module.threshold, nn.Parameter),
        }  # fmt: skip
    kind = next((base for base in _FIELDS if isinstance(module, base)), None)
    quantized = hasattr(module, "quant_weight")
    if kind is None or (type(module) is not kind and not quantized):
        raise ConfigurationError(f"{name}: {type(module).__name__} cannot be stored in a checkpoint; save it as .nir")
    check_options(name, module)
    values = {field: getattr(module, field) for field in _FIELDS[kind]}
    if isinstance(module, _WITH_BIAS):
        values["bias"] = module.bias is not None
        values["weight_scale"] = None if quantized else _weight_scale_shape(module)
    return {"layer": kind.__name__, **values}


def _weight_scale_shape(module: nn.Module) -> list[int] | None:
    """Shape of a layer's weight scale; None where it has none, or another layer owns it."""
    scale = None if isinstance(module, QuantizedScale) else weight_scale_of(module)
    return None if scale is None else list(scale.shape)


def _constant(value: float | Tensor) -> float | list[int]:
    """A number, or the shape of the tensor that stands apart."""
    return list(value.shape) if isinstance(value, Tensor) else value


def _made_constant(value: Any) -> float | Tensor:
    return torch.ones(tuple(int(n) for n in value)) if isinstance(value, list | tuple) else float(value)


def layer_from(described: Mapping[str, Any]) -> nn.Module:
    """A fresh layer of a description."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in described.items()}
    kind = values.pop("layer")
    scale = values.pop("weight_scale", values.pop("unit", None))  # its name in earlier files
    made: nn.Module
    if kind == "Scale":
        made = Scale(torch.ones(values.pop("shape", ())))
    elif kind == "Delay":
        made = Delay(torch.tensor(described["time_steps"], device="cpu"))
    elif kind == "SpikingNeuron":
        surrogate = Surrogate(name=values.pop("surrogate"), scale=values.pop("surrogate_scale"))
        constants = {field: _made_constant(values.pop(field)) for field in _CONSTANTS if field in values}
        threshold = torch.ones(values.pop("threshold", ()))
        made = SpikingNeuron(surrogate=surrogate, threshold=threshold, **constants, **values)  # type: ignore[arg-type]
    elif kind in _MAKERS:
        made = _MAKERS[kind](**values)
    else:
        known = ", ".join(("Scale", "Delay", "SpikingNeuron", *_MAKERS))
        raise ConfigurationError(f"checkpoint: {kind!r} is no layer that can be made; choose {known}")
    if scale is not None:
        register_weight_scale(made, torch.zeros(scale))
    return made
