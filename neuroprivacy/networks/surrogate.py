"""Surrogate gradients: what stands in for the derivative of a spike with respect to the membrane.

With U = v - θ, the distance to the threshold:

    privatesnn          (γ/θ) max(0, 1 - |v/θ - 1|), γ = 0.3    Kim et al. 2022, Eq. 5; γ and 1/θ as in their code
    fast_sigmoid        1/(1 + 25|U|)²                          snnTorch 1.0.0, FastSigmoid, slope 25
    atan                (α/2)/(1 + (πUα/2)²), α = 2             snnTorch 1.0.0, ATan: peak 1
    spike_rate_escape   k exp(-β|U - 1|), β = 1, k = 25         snnTorch 1.0.0, centred one above the threshold
    straight_through    1                                       snnTorch 1.0.0, StraightThroughEstimator
    triangular          1 below, -1 at and above (for θ = 1)    snnTorch 1.0.0, Triangular: a sign flip

The last five are those of Moshruba et al. 2025. Note their scales: a comparison of shapes is confounded with a factor
of up to 25 unless it is matched; `scale` does that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuroprivacy.core.errors import ConfigurationError


def _privatesnn(v: Tensor, theta: Tensor) -> Tensor:
    return (0.3 / theta) * (1 - (v / theta - 1).abs()).clamp(min=0)


def _fast_sigmoid(v: Tensor, theta: Tensor) -> Tensor:
    return (1 + 25 * (v - theta).abs()).pow(-2)


def _atan(v: Tensor, theta: Tensor) -> Tensor:
    return 1 / (1 + (math.pi * (v - theta)).pow(2))


def _spike_rate_escape(v: Tensor, theta: Tensor) -> Tensor:
    return 25 * torch.exp(-(v - theta - 1).abs())


def _straight_through(v: Tensor, theta: Tensor) -> Tensor:
    return torch.ones_like(v)


def _triangular(v: Tensor, theta: Tensor) -> Tensor:
    return torch.where(v < theta, 1.0, -1.0).to(v.dtype)


_DERIVATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "privatesnn": _privatesnn,
    "fast_sigmoid": _fast_sigmoid,
    "atan": _atan,
    "spike_rate_escape": _spike_rate_escape,
    "straight_through": _straight_through,
    "triangular": _triangular,
}


def surrogate_names() -> tuple[str, ...]:
    """Names that `Surrogate` takes; `snntorch:NAME` takes any other of snnTorch's."""
    return tuple(_DERIVATIVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrogate:
    """A surrogate gradient, chosen by name.

    Attributes:
        name: one of `surrogate_names()`, or `snntorch:` and a function of `snntorch.surrogate` with its defaults.
        scale: multiplies the derivative.
    """

    name: str = "privatesnn"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in _DERIVATIVES and not self.name.startswith("snntorch:"):
            raise ConfigurationError(
                f"surrogate: {self.name!r} is unknown; choose {', '.join(_DERIVATIVES)} or snntorch:NAME"
            )

    def derivative(self, v: Tensor, theta: Tensor) -> Tensor:
        """∂spike/∂v at membrane `v` (any shape) for threshold `theta` (broadcast)."""
        if self.name.startswith("snntorch:"):
            return self.scale * _from_snntorch(self.name.removeprefix("snntorch:"), v - theta)
        return self.scale * _DERIVATIVES[self.name](v, theta)


def _from_snntorch(name: str, distance: Tensor) -> Tensor:
    """The derivative that snnTorch's own backward pass computes."""
    import snntorch.surrogate

    make: Any = getattr(snntorch.surrogate, name, None)
    if make is None:
        raise ConfigurationError(f"surrogate: snntorch.surrogate has no {name!r}")
    with torch.enable_grad():
        at = distance.detach().requires_grad_(True)
        try:
            (gradient,) = torch.autograd.grad(make()(at).sum(), at)
        except (TypeError, RuntimeError) as error:
            raise ConfigurationError(
                f"surrogate: snntorch:{name} cannot be used with its defaults ({error})"
            ) from error
    return gradient
