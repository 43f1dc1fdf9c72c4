"""The layers without memory that a spiking network may hold: torch.nn's, a scale and a delay; and what else is refused.

Linear, Conv1d, Conv2d, average pools, Flatten and batch norm (folded into the layer before it) have a form in NIR and
on a chip. Every other layer is refused by name, with the remedy.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.kernels.linear import as_pair
from neuroprivacy.networks.layer_graph import Shape
from neuroprivacy.networks.quantized import computed_weight, register_weight_scale, weight_scale_of

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
#: Layers that change no value in eval mode.
PASSING = frozenset({
    "identity", "quantidentity", "dropout", "dropout1d", "dropout2d", "dropout3d", "alphadropout",
    "featurealphadropout", "contiguous", "clone", "detach", "float", "double",
})  # fmt: skip
#: A layer's or function's name, without underscores and in small letters, and without 1d, 2d, 3d -> the remedy.
_REMEDIES = {
    **dict.fromkeys(
        ("maxpool", "adaptivemaxpool", "fractionalmaxpool", "lppool", "max", "amax"),
        "replace max pooling by average pooling and retrain",
    ),
    **dict.fromkeys(("softmax", "logsoftmax"), "leave it out: the largest output stays the largest"),
    **dict.fromkeys(
        (
            "sigmoid", "logsigmoid", "hardsigmoid", "tanh", "hardtanh", "tanhshrink", "gelu", "silu", "hardswish",
            "mish", "elu", "selu", "celu", "relu6", "leakyrelu", "prelu", "rrelu", "glu", "softplus", "threshold",
        ),
        "replace it by ReLU and retrain",
    ),
    **dict.fromkeys(
        ("layernorm", "groupnorm", "instancenorm", "localresponsenorm", "normalize"),
        "replace it by batch norm, which is folded into the weights, and retrain",
    ),
    **dict.fromkeys(("cat", "concat", "stack", "hstack"), "add the branches instead of joining them, and retrain"),
    **dict.fromkeys(("linear", "conv", "batchnorm"), "use the layer of torch.nn in place of the function"),
    **dict.fromkeys(("mean", "avgpool", "adaptiveavgpool"), "use nn.AvgPool2d or nn.AdaptiveAvgPool2d"),
    **dict.fromkeys(("mul", "imul", "truediv", "div"), "put the factor into the weights of a layer beside it"),
    **dict.fromkeys(("sub", "isub", "neg"), "change the sign of a layer's weights and add"),
}  # fmt: skip
_REMEDY = "replace it by Linear, Conv, BatchNorm, ReLU, AvgPool2d, Flatten or a sum, and retrain"


class Scale(nn.Module):
    """All values times a factor: the real value of a spike on a path without weights, or the gain of an input.

    Attributes:
        factor: buffer, a scalar or of the shape of the values.
    """

    factor: Tensor

    def __init__(self, factor: float | Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor.clone() if isinstance(factor, Tensor) else torch.tensor(float(factor)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * self.factor


class Delay(nn.Module):
    """Values that arrive some time steps later; the network reads `time_steps`, the module itself changes nothing.

    Attributes:
        time_steps: float64, a scalar or of the shape of the values; 0 or more. The delays of a path add up and are
            rounded once. It is part of the network's structure, not of its state.
    """

    def __init__(self, time_steps: float | Tensor) -> None:
        super().__init__()
        given = torch.as_tensor(time_steps, dtype=torch.float64, device="cpu").clone()
        self.time_steps = given

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x


class SumPool2d(nn.Module):
    """Sums over windows, as NIR's SumPool2d: an average pool times the size of its window."""

    def __init__(self, kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels, rows, columns)."""
        return nn.functional.avg_pool2d(x, self.kernel_size, self.stride, self.padding, divisor_override=1)


class SignedInput(nn.Module):
    """2x - 1: samples in [0, 1] as values in [-1, 1], as PrivateSNN's networks read them."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return 2 * x - 1


def plain_name(name: str) -> str:
    """`MaxPool2d`, `max_pool2d`, `relu_` and `__add__` alike."""
    return name.replace("_", "").lower()


def remedy(name: str) -> str:
    """What to do about a layer or function that has no spiking form."""
    plain = plain_name(name)
    return _REMEDIES.get(plain) or _REMEDIES.get(re.sub("[123]d$", "", plain), _REMEDY)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@torch.no_grad()
def plain_copy(layer: Weighted) -> Weighted:
    """A layer of torch.nn with the weights that a layer computes with, and their weight scale if it has one."""
    bias = layer.bias is not None
    copy: Weighted
    if isinstance(layer, nn.Linear):
        copy = nn.Linear(layer.in_features, layer.out_features, bias=bias)
    else:
        kind: Any = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Conv1d
        copy = kind(
            layer.in_channels, layer.out_channels, layer.kernel_size, stride=layer.stride, padding=layer.padding,
            dilation=layer.dilation, groups=layer.groups, bias=bias,
        )  # fmt: skip
    copy.to(device=layer.weight.device, dtype=layer.weight.dtype)
    copy.weight.copy_(computed_weight(layer))
    if (scale := weight_scale_of(layer)) is not None:
        register_weight_scale(copy, scale)
    if copy.bias is not None and layer.bias is not None:
        copy.bias.copy_(layer.bias)
    return copy.eval()


def supported(where: str, module: nn.Module, shape: Shape) -> nn.Module:
    """A layer without memory as the network takes it over, a copy; the caller has taken ReLU and what passes.

    Args:
        where: name of the layer, for refusals.
        module: the user's layer; it is not changed.
        shape: of its input, without the batch.

    Raises:
        UnsupportedNode: the layer, or an option of it, has no spiking form.
    """
    kind = type(module).__name__
    for part in ("input_quant", "bias_quant", "output_quant"):
        if getattr(getattr(module, part, None), "is_quant_enabled", False):
            raise UnsupportedNode(
                f"{where}: {part} is on; quantized weights are taken over, activations become spikes; set {part}=None"
            )
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return _even_pool(where, module, shape)
    check_options(where, module)
    if isinstance(module, nn.AvgPool2d):
        return module
    if isinstance(module, nn.Flatten):
        if module.start_dim != 1 or module.end_dim not in (-1, len(shape)):
            raise UnsupportedNode(f"{where}: flattens some dimensions only; use nn.Flatten()")
        return module
    if isinstance(module, WEIGHTED):
        if isinstance(module, nn.Linear) and len(shape) != 1:
            raise UnsupportedNode(f"{where}: Linear reads values of shape {shape}; put nn.Flatten() before it")
        return plain_copy(module)
    if isinstance(module, (*NORMS, SignedInput)):
        return module
    raise UnsupportedNode(f"{where}: {kind} has no spiking form; {remedy(kind)}")


def check_options(where: str, module: nn.Module) -> None:
    """Refuse options of a layer that neither NIR nor a checkpoint holds.

    Args:
        where: name of the layer, for refusals.
        module: any layer.

    Raises:
        UnsupportedNode: it has one.
    """
    if isinstance(module, nn.AvgPool2d):
        padded = as_pair(module.padding) != (0, 0)
        if module.ceil_mode or module.divisor_override is not None or (padded and not module.count_include_pad):
            raise UnsupportedNode(
                f"{where}: ceil_mode, divisor_override and count_include_pad=False have no form; use the defaults"
            )
    if isinstance(module, nn.Conv1d | nn.Conv2d) and module.padding_mode != "zeros":
        raise UnsupportedNode(f"{where}: padding_mode {module.padding_mode!r} has no form; use zeros and retrain")
    if isinstance(module, nn.Flatten) and module.start_dim != 1:
        raise UnsupportedNode(f"{where}: flattens some dimensions only; use nn.Flatten()")


def _even_pool(where: str, module: nn.AdaptiveAvgPool2d, shape: Shape) -> nn.AvgPool2d:
    """An adaptive pool as the pool that it is for maps of this size."""
    size = module.output_size
    wanted = tuple(size) if isinstance(size, tuple | list) else (size, size)
    maps = shape[1:]
    if len(shape) != 3:
        raise UnsupportedNode(f"{where}: pools (channels, height, width), its source has the shape {shape}")
    outs = [have if out is None else int(out) for have, out in zip(maps, wanted, strict=True)]
    if any(have % out for have, out in zip(maps, outs, strict=True)):
        raise UnsupportedNode(
            f"{where}: pools maps of {maps} to {tuple(outs)} with windows of different sizes; use nn.AvgPool2d"
        )
    return nn.AvgPool2d((maps[0] // outs[0], maps[1] // outs[1]))


def output_shape(where: str, module: nn.Module, shape: Shape) -> Shape:
    """The shape that a layer makes of an input shape, found by running it on zeros (nothing is run on "meta").

    Raises:
        UnsupportedNode: the layer does not take values of that shape.
    """
    if isinstance(module, NORMS):
        return shape  # its statistics stay as they are
    like = next(module.parameters(), torch.zeros(0))
    try:
        with torch.no_grad():
            found = module(torch.zeros(1, *shape, dtype=like.dtype, device=like.device))
    except (RuntimeError, ValueError) as error:
        raise UnsupportedNode(
            f"{where}: does not take values of shape {shape} ({first_line(error)}); give an input of the shape that "
            "the network expects"
        ) from error
    return tuple(int(n) for n in found.shape[1:])
