"""The integer neuron in torch: forward computes exactly the integers of `kernels.dynamics`, backward is that of floats.

    a = round(activation)      u = wrap(tz(u·(4096 - du')) + (a << s))      v = saturate(tz(v·(4096 - dv)) + u + bias)

so that what is trained is what is deployed: a network that spikes through this function spikes as its Program does. The
gradient passes every rounding, wrap and saturation as if it were not there (straight-through, Bengio et al. 2013), and
the threshold by a surrogate; that of the recurrences is the exact one of the leaky neuron.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuroprivacy.kernels.dynamics import DECAY_BITS, DECAY_ONE, NeuronRule

#: ∂spike/∂v at membrane v for threshold θ, both in weight units.
Derivative = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerNeuron:
    """One layer's integers.

    Attributes:
        rule: the target's arithmetic.
        threshold: mantissa, weight units.
        du: current decay 0 ... 4095, before the hardware's offset.
        dv: membrane decay 0 ... 4095.
        bias: added to v in each step, lsb; a number or an int64 tensor that broadcasts over one step.
        soft: whether a spike subtracts the threshold instead of clearing the membrane.
    """

    rule: NeuronRule
    threshold: int
    du: int = DECAY_ONE - 1
    dv: int = 0
    bias: int | Tensor = 0
    soft: bool = False


def integer_scan(activation: Tensor, neuron: IntegerNeuron, *, derivative: Derivative) -> Tensor:
    """Spikes of a layer over all steps.

    Args:
        activation: (T, ...), synaptic sums in weight units; they are rounded to whole ones.
        neuron: its integers.
        derivative: the surrogate.

    Returns:
        (T, ...), 0 or 1, of the type of `activation`.
    """
    spikes: Tensor = _IntegerScan.apply(activation, neuron, derivative)[0]  # type: ignore[no-untyped-call]
    return spikes


def toward_zero(product: Tensor) -> Tensor:
    """tz: drop 12 fractional bits towards zero; int64."""
    return product.sign() * (product.abs() >> DECAY_BITS)


class _IntegerScan(torch.autograd.Function):
    """The scan over time."""

    @staticmethod
    def forward(activation: Tensor, neuron: IntegerNeuron, derivative: Derivative) -> tuple[Tensor, Tensor]:
        """Spikes, and the membrane before each reset in weight units, both (T, ...)."""
        rule = neuron.rule
        arrived = activation.round().long() << rule.activation_shift
        theta = neuron.threshold << rule.threshold_shift
        kept_u = DECAY_ONE - neuron.du - rule.du_offset if rule.keeps_current else 0
        u = torch.zeros_like(arrived[0])
        v = torch.zeros_like(arrived[0])
        spikes, before = torch.empty_like(activation), torch.empty_like(activation)
        for t in range(len(arrived)):
            u = toward_zero(u * kept_u) + arrived[t] if kept_u else arrived[t]
            if rule.keeps_current:
                u = torch.where(u > rule.u_half, u - 2 * rule.u_half, u)
                u = torch.where(u <= -rule.u_half, u + 2 * rule.u_half, u)
            kept = toward_zero(v * (DECAY_ONE - neuron.dv)) if neuron.dv else v
            v = (kept + u + neuron.bias).clamp(rule.v_lowest, rule.v_highest)
            fired = v > theta if rule.threshold_test == ">" else v >= theta
            before[t] = v / (1 << rule.activation_shift)
            spikes[t] = fired
            v = torch.where(fired, v - theta if neuron.soft else 0, v)
        return spikes, before

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep what the backward needs."""
        _, ctx.neuron, ctx.derivative = inputs
        ctx.save_for_backward(*output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the activation."""
        spikes, before = ctx.saved_tensors
        neuron: IntegerNeuron = ctx.neuron
        rule = neuron.rule
        alpha = (DECAY_ONE - neuron.du - rule.du_offset) / DECAY_ONE if rule.keeps_current else 0.0
        beta = 1 - neuron.dv / DECAY_ONE
        theta = torch.tensor(
            float(neuron.threshold << rule.threshold_shift) / (1 << rule.activation_shift), dtype=before.dtype
        ).to(before.device)
        gradient = torch.empty_like(grad_spikes)
        of_v, of_u = torch.zeros_like(before[0]), torch.zeros_like(before[0])
        for t in range(len(before) - 1, -1, -1):
            slope = ctx.derivative(before[t], theta)
            of_before = grad_spikes[t] * slope + (of_v if neuron.soft else of_v * (1 - spikes[t]))
            of_u = of_before + alpha * of_u
            of_v = beta * of_before
            gradient[t] = of_u
        return gradient, None, None
