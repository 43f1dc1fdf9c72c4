"""The integer neuron in torch: forward computes exactly the integers of `kernels.dynamics`, backward is that of floats.

    a = round(activation)      u = wrap(tz(u·(4096 - du')) + (a << s))      v = saturate(tz(v·(4096 - dv)) + u + bias)

so that the trained network spikes exactly as its Program. The
gradient passes every rounding, wrap and saturation as if it were not there (straight-through, Bengio et al. 2013), and
the threshold by a surrogate; that of the recurrences is the exact one of the leaky neuron.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuroprivacy.kernels.neuron import DECAY_BITS, DECAY_ONE, NeuronRule

#: ∂spike/∂v at membrane v for threshold θ, both real values.
Derivative = Callable[[Tensor, Tensor], Tensor]
#: Values of one tensor in one block, and the fewest neurons of one; chosen by measurement.
_BLOCK = 2**18
_LEAST_WIDTH = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerNeuron:
    """The integer constants of one layer's neurons.

    Attributes:
        rule: the target's arithmetic.
        threshold: mantissa, in integers; a number or an int64 tensor that broadcasts over one time step.
        du: current decay 0 ... 4095, before the hardware's offset.
        dv: membrane decay 0 ... 4095.
        bias: added to v in each time step, least significant bits; a number or an int64 tensor, as the threshold.
        soft: whether a spike subtracts the threshold instead of clearing the membrane.
    """

    rule: NeuronRule
    threshold: int | Tensor
    du: int = DECAY_ONE - 1
    dv: int = 0
    bias: int | Tensor = 0
    soft: bool = False


def integer_scan(
    activation: Tensor, neuron: IntegerNeuron, *, derivative: Derivative, weight_scale: float | Tensor = 1.0
) -> Tensor:
    """Spikes of a layer over all time steps.

    Args:
        activation: (T, ...), synaptic input in multiples of the weight scale; rounded to integers.
        neuron: its integers.
        derivative: the surrogate.
        weight_scale: real value of one integer of the synaptic input; broadcasts over one time step.

    Returns:
        (T, ...), 0 or 1, of the type of `activation`.
    """
    of_neurons = torch.as_tensor(weight_scale, dtype=activation.dtype, device=activation.device)
    spikes: Tensor = _IntegerScan.apply(activation, neuron, derivative, of_neurons)[0]  # type: ignore[no-untyped-call]
    return spikes


def like(given: Tensor) -> Tensor:
    """An empty (T, ...) tensor of that shape: step after step, each in the memory order of `given`."""
    order = _order(given)
    empty = given.new_empty(len(given), *(given.shape[axis] for axis in order))
    return empty.permute(0, *(1 + order.index(axis) for axis in range(1, given.ndim)))


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views (T, neurons) of parts of (T, ...) tensors, small enough to be taken through all steps within the cache.

    All are cut in the memory order of the first; those that are written to must come from `like` of it. On a GPU there
    is one block.
    """
    first, flat = tensors[0], flattened(*tensors)
    size = flat[0].shape[1]
    width = max(_LEAST_WIDTH, _BLOCK // max(len(first), 1)) if first.device.type == "cpu" else max(size, 1)
    for begin in range(0, size, width):
        yield tuple(each[:, begin : begin + width] for each in flat)


def flattened(*tensors: Tensor) -> list[Tensor]:
    """(T, neurons) forms of (T, ...) tensors in the memory order of the first; views of those that come from `like`."""
    order = _order(tensors[0])
    return [each.permute(0, *order).flatten(1) if order else each.unsqueeze(1) for each in tensors]


def _order(tensor: Tensor) -> list[int]:
    """The axes after the first, outermost in memory first."""
    return sorted(range(1, tensor.ndim), key=lambda axis: -int(tensor.stride(axis)))  # type: ignore[call-overload]


def toward_zero(product: Tensor) -> Tensor:
    """tz: drop 12 fractional bits towards zero; int64."""
    return product.sign() * (product.abs() >> DECAY_BITS)


def _of_neurons(value: int | Tensor, activation: Tensor) -> Tensor:
    """A constant of the neurons as one step, (1, ...)."""
    return torch.as_tensor(value, device=activation.device).expand(activation.shape[1:]).unsqueeze(0)


class _IntegerScan(torch.autograd.Function):
    """The scan over time in integers, with a surrogate gradient."""

    @staticmethod
    def forward(
        activation: Tensor, neuron: IntegerNeuron, derivative: Derivative, weight_scale: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Spikes, and the membrane before each reset in multiples of the weight scale, both (T, ...)."""
        rule = neuron.rule
        kept_u = DECAY_ONE - neuron.du - rule.du_offset if rule.keeps_current else 0
        spikes, before = like(activation), like(activation)
        constants = (
            _of_neurons(value, activation) for value in (neuron.bias, neuron.threshold << rule.threshold_shift)
        )
        for given, constant, (theta,), fired, reached in blocks(activation, *constants, spikes, before):
            arrived = given.round().long() << rule.activation_shift
            u = torch.zeros_like(arrived[0])
            v = torch.zeros_like(arrived[0])
            for t in range(len(arrived)):
                u = toward_zero(u * kept_u) + arrived[t] if kept_u else arrived[t]
                if rule.keeps_current:
                    u = torch.where(u > rule.u_half, u - 2 * rule.u_half, u)
                    u = torch.where(u <= -rule.u_half, u + 2 * rule.u_half, u)
                kept = toward_zero(v * (DECAY_ONE - neuron.dv)) if neuron.dv else v
                v = (kept + u + constant[0]).clamp(rule.v_lowest, rule.v_highest)
                above = v > theta if rule.threshold_test == ">" else v >= theta
                reached[t] = v / (1 << rule.activation_shift)
                fired[t] = above
                v = torch.where(above, v - theta if neuron.soft else 0, v)
        return spikes, before

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Store what the backward pass needs."""
        _, ctx.neuron, ctx.derivative, weight_scale = inputs
        ctx.save_for_backward(*output, weight_scale)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # or zeros are made for the membranes

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        """Gradient with respect to the activation."""
        if grad_spikes is None:
            return (None,) * 4
        spikes, before, weight_scale = ctx.saved_tensors
        neuron: IntegerNeuron = ctx.neuron
        rule = neuron.rule
        alpha = (DECAY_ONE - neuron.du - rule.du_offset) / DECAY_ONE if rule.keeps_current else 0.0
        beta = 1 - neuron.dv / DECAY_ONE
        threshold = torch.as_tensor(neuron.threshold << rule.threshold_shift).to(before) / (1 << rule.activation_shift)
        gradient = like(before)
        constants = (_of_neurons(value, before) for value in (weight_scale, threshold * weight_scale))
        for v, scale, theta, fired, given, wanted in blocks(before, *constants, spikes, grad_spikes, gradient):
            direct = given * ctx.derivative(v * scale, theta) * scale
            of_v, of_u = torch.zeros_like(v[0]), torch.zeros_like(v[0])
            for t in range(len(v) - 1, -1, -1):
                of_before = direct[t] + (of_v if neuron.soft else of_v * (1 - fired[t]))
                of_u = torch.add(of_before, of_u, alpha=alpha, out=wanted[t])
                of_v = beta * of_before
        return gradient, None, None, None
