"""Layers whose weights are rounded in the forward pass (brevitas), for quantization-aware training.

The scale is learned from the one with the least squared error. What such a layer computes with lies on a grid, so
lowering takes it over as it is.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from neuroprivacy.errors import ConfigurationError

WeightBits = int | Literal["ternary"]
_FRACTIONS = 60
#: Buffer of a plain layer that holds the unit of its weights.
_UNIT = "weight_unit"


def check_weight_bits(bits: WeightBits | None) -> None:
    """Refuse what is no width.

    Raises:
        ConfigurationError: it is neither None, `ternary` nor 2 ... 8.
    """
    if bits is not None and bits != "ternary" and (type(bits) is not int or not 2 <= bits <= 8):
        raise ConfigurationError(f"weight bits: {bits!r} is neither 2 ... 8 nor 'ternary'")


def quantized_layer(layer: nn.Linear | nn.Conv2d, bits: WeightBits) -> nn.Module:
    """The same layer with quantized weights, a copy."""
    import brevitas.nn as qnn

    bias = layer.bias is not None
    made: Any
    if isinstance(layer, nn.Conv2d):
        made = qnn.QuantConv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, stride=layer.stride, padding=layer.padding,
            dilation=layer.dilation, groups=layer.groups, bias=bias, weight_quant=_quantizer(bits),
        )  # fmt: skip
    else:
        made = qnn.QuantLinear(layer.in_features, layer.out_features, bias=bias, weight_quant=_quantizer(bits))
    with torch.no_grad():
        made.weight.copy_(layer.weight)
        if layer.bias is not None:
            made.bias.copy_(layer.bias)
    fit_scale(made)
    return made  # type: ignore[no-any-return]


def _quantizer(bits: WeightBits) -> Any:
    """brevitas' signed integers with one learned scale per layer."""
    from brevitas.quant import Int8WeightPerTensorFloat

    width = 2 if bits == "ternary" else bits

    class Quantizer(Int8WeightPerTensorFloat):  # type: ignore[misc]
        """Weights of this width."""

        bit_width = width
        narrow_range = bits == "ternary"
        scaling_impl_type = "parameter_from_stats"

    return Quantizer


@torch.no_grad()
def fit_scale(layer: Any) -> None:
    """Set a quantized layer's learned scale to the one with the least squared error of its weights."""
    layer.train()
    layer.quant_weight()  # makes the parameter, from the largest weight
    if layer.weight.is_meta:
        return  # only its shape is asked for
    parameter = next(p for name, p in layer.named_parameters() if name.endswith("scaling_impl.value"))
    first = parameter.clone()
    best, least = first, float("inf")
    for fraction in torch.linspace(1.0, 0.1, _FRACTIONS):
        parameter.copy_(first * fraction)
        error = float(((layer.quant_weight().value - layer.weight) ** 2).sum())
        if error < least:
            best, least = parameter.clone(), error
    parameter.copy_(best)


def weight_unit(layer: nn.Module) -> Tensor | None:
    """What one integer of a layer's weights is worth, a scalar or one per output channel; None if there is no grid."""
    quantized = getattr(layer, "quant_weight", None)
    unit: Tensor | None = getattr(layer, _UNIT, None) if quantized is None else quantized().scale.detach()
    return unit


def computed_weight(layer: nn.Module) -> Tensor:
    """The weights that a layer computes with, whatever makes them."""
    quantized = getattr(layer, "quant_weight", None)
    found: Tensor = layer.weight if quantized is None else quantized().value  # type: ignore[assignment]
    return found.detach()


def state_unit(layer: nn.Module, unit: Tensor) -> None:
    """Say of a plain layer that its weights lie on the grid of that unit; kept with its state."""
    layer.register_buffer(_UNIT, unit.clone())
