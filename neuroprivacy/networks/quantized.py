"""Layers whose weights are rounded in the forward pass (brevitas), for quantization-aware training.

One scale for a layer is learned, starting from the one with the least squared error. Several scales, one for each
population of output channels on the chip, stay as they were fitted. Layers that lead into the same population share one
scale. The weights that such a layer computes with are integers times its weight scale, and lowering keeps the integers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.channel_groups import group_by_unit, group_max
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.program.encoder import DIRECT_HIGH

_FRACTIONS = 60
#: How brevitas names a layer's scales.
SCALE = "scaling_impl.value"
#: Buffer of a plain layer that holds the weight scale of its weights.
_WEIGHT_SCALE = "weight_scale"


def check_weight_bits(bits: WeightBits | None) -> None:
    """Refuse a weight width that is not supported.

    Raises:
        ConfigurationError: it is neither None, `ternary` nor 2 ... 8.
    """
    if bits is not None and bits != "ternary" and (type(bits) is not int or not 2 <= bits <= 8):
        raise ConfigurationError(f"weight bits: {bits!r} is neither 2 ... 8 nor 'ternary'")


def quantized_layer(
    layer: nn.Linear | nn.Conv1d | nn.Conv2d, bits: WeightBits, *, populations: int = 1, shared_with: Any = None
) -> nn.Module:
    """The same layer with quantized weights, a copy.

    Args:
        layer: with real weights.
        bits: 2 ... 8 or "ternary".
        populations: most different scales of output channels.
        shared_with: a quantized layer whose one scale it shares; None for a scale of its own.
    """
    import brevitas.nn as qnn

    quantizer = _quantizer(bits, by_channel=populations > 1) if shared_with is None else shared_with.weight_quant
    bias = layer.bias is not None
    made: Any
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        kind = qnn.QuantConv2d if isinstance(layer, nn.Conv2d) else qnn.QuantConv1d
        made = kind(
            layer.in_channels, layer.out_channels, layer.kernel_size, stride=layer.stride, padding=layer.padding,
            dilation=layer.dilation, groups=layer.groups, bias=bias, weight_quant=quantizer,
        )  # fmt: skip
    else:
        made = qnn.QuantLinear(layer.in_features, layer.out_features, bias=bias, weight_quant=quantizer)
    made.to(layer.weight.dtype)
    with torch.no_grad():
        made.weight.copy_(layer.weight)
        if layer.bias is not None:
            made.bias.copy_(layer.bias)
    made.populations = populations
    made.register_load_state_dict_post_hook(_keep_scales)  # brevitas makes new parameters then
    if shared_with is None:
        fit_scale(made)
    return made.to(layer.weight.dtype)  # type: ignore[no-any-return]  # brevitas makes scales in single precision


def _quantizer(bits: WeightBits, *, by_channel: bool) -> Any:
    """brevitas' signed integers with one scale per layer or output channel, which is a parameter."""
    from brevitas.quant import Int8WeightPerTensorFloat

    width = 2 if bits == "ternary" else bits

    class Quantizer(Int8WeightPerTensorFloat):  # type: ignore[misc]
        """Rounds weights to a width, with a straight-through gradient."""

        bit_width = width
        narrow_range = bits == "ternary"
        scaling_impl_type = "parameter_from_stats"
        scaling_per_output_channel = by_channel

    return Quantizer


@torch.no_grad()
def fit_scale(layer: Any) -> None:
    """Set a quantized layer's scales to those with the least squared error of its weights.

    Channels of one population share the largest of their scales; such scales are not trained.
    """
    layer.train()
    layer.quant_weight()  # makes the parameter, from the largest weights
    if layer.weight.is_meta:
        return  # only its shape is asked for
    parameter = _scales(layer)
    largest = parameter.clone()
    fitted = _least_error(layer, parameter, largest)
    if layer.populations == 1:
        return
    scale = layer.quant_weight().scale.flatten().double().numpy()
    group = group_by_unit(scale, float(layer.weight.double().square().mean().sqrt()), most=layer.populations)
    if group.max() == 0:  # nothing is gained: one for all, the best for all
        _least_error(layer, parameter, torch.full_like(largest, float(largest.max())), together=True)
    else:
        parameter.copy_(torch.from_numpy(group_max(fitted.flatten().double().numpy(), group)).view_as(fitted))
    _keep_scales(layer)


def _scales(layer: Any) -> Tensor:
    """The parameter that a quantized layer's scales are proportional to."""
    found: Tensor = next(p for name, p in layer.named_parameters() if name.endswith(SCALE))
    return found


def _keep_scales(layer: Any, *_: object) -> None:
    """Exclude scales that channels share from training, which would make them differ."""
    if layer.populations > 1:
        _scales(layer).requires_grad_(False)


def _least_error(layer: Any, parameter: Tensor, largest: Tensor, *, together: bool = False) -> Tensor:
    """Set the scales to the fraction of `largest` with the least squared error of their weights; returns them."""
    best, least = largest.clone(), torch.full_like(largest, float("inf"))
    for fraction in torch.linspace(1.0, 0.1, _FRACTIONS):
        parameter.copy_(largest * fraction)
        errors = (layer.quant_weight().value - layer.weight) ** 2
        each = errors.sum().expand_as(largest) if together or largest.numel() == 1 else errors.flatten(1).sum(1)
        error = each.reshape(largest.shape)
        best, least = torch.where(error < least, parameter, best), torch.minimum(error, least)
    parameter.copy_(best)
    return best


@torch.no_grad()
def set_weight_scale(layer: Any, weight_scale: Tensor) -> None:
    """Set the weight scale of a quantized layer.

    Args:
        layer: made by `quantized_layer`.
        weight_scale: (output channels,); all the same for a layer of one population.
    """
    parameter = _scales(layer)
    ratio = float(parameter.double().flatten()[0] / layer.quant_weight().scale.double().flatten()[0])
    parameter.copy_((weight_scale.double() * ratio)[: parameter.numel()].view_as(parameter))  # equal ones stay equal


class QuantizedScale(nn.Module):
    """A factor that is an integer times the weight scale of another layer of the same population: a shortcut.

    Attributes:
        factor: buffer, the real factor.
        owner: the quantized layer, which is not part of this one's state.
    """

    factor: Tensor
    owner: nn.Module

    def __init__(self, factor: Tensor, owner: nn.Module) -> None:
        super().__init__()
        self.register_buffer("factor", factor.clone())
        self.__dict__["owner"] = owner  # a submodule would be listed, moved and stored twice

    def quant_weight(self) -> Any:
        """The quantized factor with the owner's weight scale, as brevitas' layers return their weights."""
        owner: Any = self.owner
        return owner.weight_quant(self.factor.reshape(1, *[1] * (owner.weight.ndim - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        value: Tensor = self.quant_weight().value
        return x * value.reshape(self.factor.shape)


def weight_scale_of(layer: nn.Module) -> Tensor | None:
    """The weight scale of a layer, a scalar or one per output channel; None if its weights are not quantized."""
    quantized = getattr(layer, "quant_weight", None)
    found: Tensor | None = getattr(layer, _WEIGHT_SCALE, None) if quantized is None else quantized().scale.detach()
    return found


def input_scale(coding: str | None) -> float:
    """The real value of one integer of the input."""
    return 1 / DIRECT_HIGH if coding == "direct" else 1.0


def pool_factor(module: nn.Module) -> float:
    """The factor of an average pool's sums; 1 of any other layer."""
    if not isinstance(module, nn.AvgPool2d):
        return 1.0
    size = module.kernel_size
    rows, columns = (size, size) if isinstance(size, int) else (size[0], size[1])
    return 1 / (rows * columns)


def layer_scale(module: nn.Module) -> Tensor:
    """Factor of a layer on the real value of one integer, float64; broadcasts over one sample."""
    scale = weight_scale_of(module)
    if scale is None:
        return torch.tensor(pool_factor(module), dtype=torch.float64)
    if scale.numel() == 1:
        return scale.double().reshape(())
    axes = {nn.Conv1d: 1, nn.Conv2d: 2}
    behind = next((count for kind, count in axes.items() if isinstance(module, kind)), 0)
    return scale.double().reshape(-1, *[1] * behind)


def computed_weight(layer: nn.Module) -> Tensor:
    """The weights that a layer computes with, quantized or not."""
    quantized = getattr(layer, "quant_weight", None)
    found: Tensor = layer.weight if quantized is None else quantized().value  # type: ignore[assignment]
    return found.detach()


def register_weight_scale(layer: nn.Module, weight_scale: Tensor) -> None:
    """Record in a plain layer's state that its weights are integers times this weight scale."""
    layer.register_buffer(_WEIGHT_SCALE, weight_scale.clone())
