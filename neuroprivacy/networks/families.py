"""Network families, PrivateSNN style: no bias, no batch norm, average pooling, dropout; bias and batch norm are
options.

Every ANN is an `nn.Sequential` of named standard layers; its spiking form is a `SpikingNetwork` of the same layers.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks.layer_graph import Node, Shape
from neuroprivacy.networks.layers import SignedInput, output_shape
from neuroprivacy.networks.neuron import SpikingNeuron
from neuroprivacy.networks.quantize import quantize_weights
from neuroprivacy.networks.spec import SpikingSpec
from neuroprivacy.networks.spiking import SpikingNetwork
from neuroprivacy.networks.surrogate import Surrogate

#: What an ANN of ours is: named standard layers in a row.
Ann = nn.Sequential
#: Channels per convolution; "P" is an average pool of 2. Source of vgg16: Kim et al. 2022, published code, two
#: linear layers instead of VGG's three.
_VGG: dict[str, tuple[int | str, ...]] = {
    "vgg5": (64, "P", 128, 128, "P"),
    "vgg9": (64, 64, "P", 128, 128, "P", 256, 256, 256, "P"),
    "vgg11": (64, "P", 128, "P", 256, 256, "P", 512, 512, "P", 512, 512, "P"),
    "vgg16": (64, 64, "P", 128, 128, "P", 256, 256, 256, "P", 512, 512, 512, "P", 512, 512, 512, "P"),
}
_CONVNET: tuple[int | str, ...] = (16, "P", 32, "P")
_HIDDEN = {"mlp": (128,), "convnet": (128,), "vgg5": (1024,), "vgg9": (1024,), "vgg11": (4096,), "vgg16": (4096,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The architecture of a network; plain values, stored in checkpoints.

    Attributes:
        family: `mlp`, `convnet`, `vgg5`, `vgg9`, `vgg11` or `vgg16`.
        input_shape: (features,) or (channels, height, width).
        classes: number of outputs.
        hidden: widths of the hidden linear layers.
        width: multiplies the channels of the convolutions.
        bias: biases in all linear layers and convolutions.
        batch_norm: batch norm after each convolution.
        dropout: rate after each hidden linear layer.
        conv_dropout: rate after each convolution's activation.
        signed_input: whether the first layer sees 2x - 1 instead of x; what `poisson-signed` coding needs.
    """

    family: str
    input_shape: tuple[int, ...]
    classes: int
    hidden: tuple[int, ...]
    width: float = 1.0
    bias: bool = False
    batch_norm: bool = False
    dropout: float = 0.2
    conv_dropout: float = 0.0
    signed_input: bool = False

    def describe(self) -> dict[str, Any]:
        """Plain JSON values; `spec_from` is the inverse."""
        return asdict(self)


def family_names() -> tuple[str, ...]:
    """The names of all network families."""
    return tuple(_HIDDEN)


def model_spec(
    family: str,
    *,
    input_shape: tuple[int, ...],
    classes: int,
    hidden: tuple[int, ...] | None = None,
    width: float = 1.0,
    bias: bool = False,
    batch_norm: bool = False,
    dropout: float | None = None,
    signed_input: bool = False,
) -> ModelSpec:
    """A spec with the family's defaults.

    Raises:
        ConfigurationError: the family is unknown, or cannot take inputs of this shape.
    """
    if family not in _HIDDEN:
        raise ConfigurationError(f"model: {family!r} is unknown; choose {', '.join(_HIDDEN)}")
    if family != "mlp" and len(input_shape) != 3:
        raise ConfigurationError(f"model: {family} needs images, this data set has {input_shape}; choose mlp")
    rates = {"mlp": 0.0, "convnet": 0.25}
    return ModelSpec(
        family=family,
        input_shape=input_shape,
        classes=classes,
        hidden=_HIDDEN[family] if hidden is None else hidden,
        width=width,
        bias=bias,
        batch_norm=batch_norm,
        dropout=rates.get(family, 0.5) if dropout is None else dropout,
        signed_input=signed_input,
    )


def spec_from(described: dict[str, Any]) -> ModelSpec:
    """The spec that `describe` wrote down."""
    return ModelSpec(
        **{**described, "input_shape": tuple(described["input_shape"]), "hidden": tuple(described["hidden"])}
    )


def build_ann(spec: ModelSpec) -> nn.Sequential:
    """A fresh network with Kaiming-normal weights, drawn from torch's global generator."""
    net = nn.Sequential(OrderedDict(_layers(spec)))
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net


def build_snn(model: ModelSpec, spec: SpikingSpec) -> SpikingNetwork:
    """A fresh spiking network of a family: the ANN's layers with neurons in place of its activations.

    Args:
        model: the layers.
        spec: settings of the spiking network.

    Raises:
        ConfigurationError: the coding does not fit the family's input, or a batch norm is not folded.
    """
    if (spec.coding == "poisson-signed") != model.signed_input:
        raise ConfigurationError(
            f"coding: {spec.coding} does not fit an ANN that was trained with"
            f"{'' if model.signed_input else 'out'} signed input; "
            "train with --signed-input and use poisson-signed, or neither"
        )
    modules = {n: m for n, m in build_ann(model).named_children() if not isinstance(m, SignedInput)}
    surrogate = Surrogate(name=spec.surrogate, scale=spec.surrogate_scale)
    if spec.readout == "spike_count":
        modules["outact"] = nn.ReLU()
    layers: dict[str, nn.Module] = {}
    for name, module in modules.items():
        if isinstance(module, nn.BatchNorm2d):
            raise ConfigurationError(f"{name}: fold batch norm into the convolution before making it spike")
        spikes = isinstance(module, nn.ReLU)
        layers[name] = SpikingNeuron(beta=spec.beta, reset=spec.reset, surrogate=surrogate) if spikes else module
    plain = replace(spec, weight_bits=None, state_target=None, populations=1)
    net = sequential_network(plain, layers, input_shape=model.input_shape)
    if spec.weight_bits is None:
        return net
    return quantize_weights(net, spec.weight_bits, state_target=spec.state_target, populations=spec.populations)


def sequential_network(spec: SpikingSpec, layers: Mapping[str, nn.Module], *, input_shape: Shape) -> SpikingNetwork:
    """Layers and populations one after another.

    Args:
        spec: settings; the neurons have their own constants.
        layers: by name, in order; `SpikingNeuron` where neurons are.
        input_shape: of one time step, without the batch.
    """
    shape = input_shape
    nodes = [Node(name="input", kind="input", sources=(), shape=shape)]
    for name, module in layers.items():
        neurons = isinstance(module, SpikingNeuron)
        shape = shape if neurons else output_shape(name, module, shape)
        kind: Literal["neuron", "layer"] = "neuron" if neurons else "layer"
        nodes.append(Node(name=name, kind=kind, sources=(nodes[-1].name,), shape=shape))
    return SpikingNetwork(spec, nodes, layers)


def _layers(spec: ModelSpec) -> Iterator[tuple[str, nn.Module]]:
    """The layers of a family with their names, in order."""
    shape = spec.input_shape
    if spec.signed_input:
        yield "signed", SignedInput()
    if spec.family != "mlp":
        plan = _VGG.get(spec.family, _CONVNET)
        channels, height, width = shape
        count = pools = 0
        for entry in plan:
            if entry == "P":
                pools += 1
                height, width = height // 2, width // 2
                if min(height, width) < 1:
                    raise ConfigurationError(f"model: images of {shape[1:]} are too small for {spec.family}")
                yield f"pool{pools}", nn.AvgPool2d(2)
                continue
            count += 1
            out = max(1, round(int(entry) * spec.width))
            yield f"conv{count}", nn.Conv2d(channels, out, 3, padding=1, bias=spec.bias and not spec.batch_norm)
            if spec.batch_norm:
                yield f"norm{count}", nn.BatchNorm2d(out)
            yield f"act{count}", nn.ReLU()
            if spec.conv_dropout:
                yield f"drop{count}", nn.Dropout(spec.conv_dropout)
            channels = out
        shape = (channels, height, width)
    features = math.prod(shape)
    if len(shape) > 1:
        yield "flatten", nn.Flatten()
    for i, size in enumerate(spec.hidden, 1):
        yield f"fc{i}", nn.Linear(features, size, bias=spec.bias)
        yield f"fcact{i}", nn.ReLU()
        if spec.dropout:
            yield f"fcdrop{i}", nn.Dropout(spec.dropout)
        features = size
    yield "out", nn.Linear(features, spec.classes, bias=spec.bias)


def count_parameters(net: nn.Module) -> int:
    """Count the trainable parameters."""
    with torch.no_grad():
        return sum(p.numel() for p in net.parameters())
