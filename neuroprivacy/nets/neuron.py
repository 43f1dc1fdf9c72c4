"""The float neuron of SEMANTICS.md: integrate, fire, reset, in one step; and its gradient through time (STBP).

    v[t]   = β v[t-1] + I[t]
    s[t]   = v[t] > θ
    v[t]  := 0 where s (hard)   or   v[t] - θ where s (soft)

The whole scan over time is one autograd function: forward keeps the membrane before the reset, backward walks it in
reverse. Both take blocks of neurons through all steps while they lie in the cache; on the CPU in single precision they
are compiled (`compiled_scan`), which the torch form here defines. Source of the gradient: Wu et al.
2018 (STBP); Kim et al. 2022, Eq. 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neuroprivacy.errors import ConfigurationError
from neuroprivacy.kernels import split_bias
from neuroprivacy.kernels.dynamics import DECAY_ONE, Reset
from neuroprivacy.kernels.fake import IntegerNeuron, blocks, flattened, integer_scan, like
from neuroprivacy.nets import compiled_scan
from neuroprivacy.nets.compiled_scan import is_compiled
from neuroprivacy.nets.surrogate import Surrogate
from neuroprivacy.target import TargetSpec


class _Scan(torch.autograd.Function):
    """The scan over time: current (T, ...) and threshold () -> spikes (T, ...), in blocks of neurons (`blocks`)."""

    @staticmethod
    def forward(
        current: Tensor, threshold: Tensor, beta: float, soft: bool, surrogate: Surrogate, detach_reset: bool
    ) -> tuple[Tensor, Tensor]:
        """Spikes and the membrane before each reset, both (T, ...)."""
        before, spikes = like(current), like(current)
        if is_compiled(current, surrogate):
            arrays = [each.numpy() for each in flattened(current, before, spikes)]
            compiled_scan.forward(*arrays, theta=float(threshold), beta=beta, soft=soft)
            return spikes, before
        for arrived, reached, fired in blocks(current, before, spikes):
            v = torch.zeros_like(arrived[0])
            for t in range(len(arrived)):
                torch.add(arrived[t], v, alpha=beta, out=reached[t])
                torch.gt(reached[t], threshold, out=fired[t])
                v = reached[t] - threshold * fired[t] if soft else reached[t] * (1 - fired[t])
        return spikes, before

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep what the backward needs."""
        _, threshold, beta, soft, surrogate, detach_reset = inputs
        ctx.save_for_backward(output[1], threshold)
        ctx.mark_non_differentiable(output[1])
        ctx.constants = (beta, soft, surrogate, detach_reset)

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of current and threshold.

        With g[t] = ∂L/∂v[t] before the reset:  g[t] = β g[t+1] ∂v_after/∂v + ∂L/∂s[t] ∂s/∂v
        """
        before, threshold = ctx.saved_tensors
        beta, soft, surrogate, detach_reset = ctx.constants
        grad_current = like(before)
        if is_compiled(before, surrogate) and grad_spikes.dtype == before.dtype:
            arrays = [each.numpy() for each in flattened(before, grad_spikes, grad_current)]
            found = compiled_scan.backward(
                *arrays, theta=float(threshold), beta=beta, soft=soft, detached=detach_reset, surrogate=surrogate,
                wants_theta=ctx.needs_input_grad[1],
            )  # fmt: skip
            return grad_current, torch.full_like(threshold, found), None, None, None, None
        grad_threshold = torch.zeros_like(threshold)
        for v, given, gradient in blocks(before, grad_spikes, grad_current):
            fired = (v > threshold).to(v.dtype)
            slope = surrogate.derivative(v, threshold)
            direct = given * slope
            if soft:
                keeps = torch.ones_like(v) if detach_reset else 1 - threshold * slope
                of_threshold = -fired if detach_reset else threshold * slope - fired
            else:
                keeps = 1 - fired if detach_reset else 1 - fired - v * slope
                of_threshold = torch.zeros_like(v) if detach_reset else v * slope
            keeps *= beta
            gradient[-1] = direct[-1]
            for t in range(len(v) - 2, -1, -1):
                torch.addcmul(direct[t], gradient[t + 1], keeps[t], out=gradient[t])
            if ctx.needs_input_grad[1]:
                grad_threshold += beta * (gradient[1:] * of_threshold[:-1]).sum() - direct.sum()
        return grad_current, grad_threshold.reshape(threshold.shape), None, None, None, None


def scan(
    current: Tensor,
    *,
    threshold: Tensor,
    beta: float,
    reset: Reset,
    surrogate: Surrogate,
    detach_reset: bool = True,
) -> Tensor:
    """Spikes of a layer over all steps.

    Args:
        current: (T, batch, ...), input current of each step.
        threshold: scalar tensor, θ > 0.
        beta: membrane decay, 0 ... 1; 1 is integrate-and-fire.
        reset: "hard" or "soft".
        surrogate: for the backward pass.
        detach_reset: whether the reset is a constant to the gradient.

    Returns:
        (T, batch, ...), 0 or 1.
    """
    spikes: Tensor = _Scan.apply(current, threshold, beta, reset == "soft", surrogate, detach_reset)[0]  # type: ignore[no-untyped-call]
    return spikes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerForm:
    """How a layer is computed in a target's integers while it is trained.

    Attributes:
        target: the chip.
        unit: what one weight unit is worth in the current, a scalar.
        bias: the part of the current that is constant, as it broadcasts over one step; None for none.
    """

    target: TargetSpec
    unit: Tensor
    bias: Tensor | None = None

    def scan(self, current: Tensor, neuron: SpikingNeuron) -> Tensor:
        """Spikes for a current (T, batch, ...), as `lower` will have the chip compute them."""
        unit, target = float(self.unit), self.target
        constant = 0.0 if self.bias is None else self.bias
        whole = IntegerNeuron(
            rule=target.rule,
            threshold=int(float(neuron.threshold) / unit * (1 + 1e-9)) + (target.threshold_test == ">="),
            dv=min(round((1 - neuron.beta) * DECAY_ONE), (1 << target.decay_bits) - 1),
            bias=self._whole_bias(),
            soft=neuron.reset == "soft",
        )

        def derivative(v: Tensor, theta: Tensor) -> Tensor:
            """The surrogate, in units of the float network."""
            return neuron.surrogate.derivative(v * unit, theta * unit) * unit

        return integer_scan((current - constant) / unit, whole, derivative=derivative)

    def _whole_bias(self) -> int | Tensor:
        """The bias in lsb of the membrane, as mantissa and exponent hold it."""
        if self.bias is None:
            return 0
        exact = self.bias.detach().cpu().double() / float(self.unit) * (1 << self.target.activation_shift)
        found = split_bias(
            exact.numpy(), bits=self.target.bias_mantissa_bits, exponent_max=self.target.bias_exponent_max
        )
        if found is None:
            raise ConfigurationError(f"state target: a bias of {float(exact.abs().max()):g} lsb does not fit its width")
        mantissa, exponent = found
        return torch.from_numpy(mantissa << exponent).to(self.bias.device)


class SpikingNeuron(nn.Module):
    """A layer of spiking neurons with one threshold.

    Attributes:
        threshold: scalar buffer θ (a parameter if `learn_threshold`).
    """

    threshold: Tensor

    def __init__(
        self,
        *,
        threshold: float = 1.0,
        beta: float = 1.0,
        reset: Reset = "hard",
        surrogate: Surrogate | None = None,
        detach_reset: bool = True,
        learn_threshold: bool = False,
    ) -> None:
        super().__init__()
        value = torch.tensor(float(threshold))
        if learn_threshold:
            self.threshold = nn.Parameter(value)
        else:
            self.register_buffer("threshold", value)
        self.beta = beta
        self.reset: Reset = reset
        self.surrogate = surrogate or Surrogate()
        self.detach_reset = detach_reset

    def forward(self, current: Tensor, *, integers: IntegerForm | None = None) -> Tensor:
        """(T, batch, ...) -> spikes (T, batch, ...); with `integers`, exactly those of the deployed neuron."""
        if integers is not None:
            return integers.scan(current, self)
        return scan(
            current,
            threshold=self.threshold,
            beta=self.beta,
            reset=self.reset,
            surrogate=self.surrogate,
            detach_reset=self.detach_reset,
        )
