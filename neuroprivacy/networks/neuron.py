"""A population of neurons in torch: real ones, or a target's integers while it is trained for them.

    u[t] = α u[t-1] + g I[t]        v[t] = β v[t-1] + u[t] + b        s[t] = v[t] > θ
    v[t] := 0 where s (hard)   or   v[t] - θ where s (soft)

A plain neuron (α = 0, g = 1, b = 0, one threshold and decay for all, at rest at the start) takes the compiled scan;
constants that differ by neuron, a synaptic current, or a start that is not zero take the loop over time steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.channel_groups import alike
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.kernels.rounding import integer_decay, integer_threshold, split_bias
from neuroprivacy.networks.integer_scan import IntegerNeuron, integer_scan
from neuroprivacy.networks.scan import scan
from neuroprivacy.networks.surrogate import Surrogate
from neuroprivacy.targets.spec import TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerForm:
    """How a population is computed in a target's integers while it is trained.

    Attributes:
        target: the chip.
        weight_scale: real value of one integer of the synaptic input; broadcasts over one time step.
        bias: the part of the current that is constant, broadcasts over one time step; None for none.
    """

    target: TargetSpec
    weight_scale: Tensor
    bias: Tensor | None = None

    def scan(self, current: Tensor, neuron: SpikingNeuron) -> Tensor:
        """Spikes for a current (T, batch, ...), as `lower` will have the chip compute them.

        Raises:
            ConfigurationError: the neuron has constants that integer training does not support, or a bias does not
                fit its width.
        """
        target, scale = self.target, self.weight_scale.to(current.device)
        # The bias enters as an integer: its gradient is that of the current that it is part of.
        constant = 0.0 if self.bias is None else self.bias.detach()
        theta = integer_threshold(
            neuron.threshold.detach().double().cpu().numpy(), scale=self.weight_scale.double().cpu().numpy(),
            test=target.threshold_test,
        )  # fmt: skip
        beta, alpha = self._decays(neuron)
        integers = IntegerNeuron(
            rule=target.rule,
            threshold=torch.as_tensor(theta, device=current.device),
            du=int(integer_decay(np.array(alpha), bits=target.decay_bits, offset=target.du_offset)),
            dv=int(integer_decay(np.array(beta), bits=target.decay_bits)),
            bias=self.integer_bias(),
            soft=neuron.reset == "soft",
        )
        scale = scale.to(current.dtype)
        return integer_scan(
            (current - constant) / scale, integers, derivative=neuron.surrogate.derivative, weight_scale=scale
        )

    def rounded_bias(self, current: Tensor) -> Tensor:
        """A readout's current (T, batch, ...) with its bias as the chip adds it; the gradient is that of the
        current.
        """
        if self.bias is None:
            return current
        scale = self.weight_scale.to(current.device) / (1 << self.target.activation_shift)
        return current + (self.integer_bias() * scale - self.bias.detach()).to(current.dtype)

    def _decays(self, neuron: SpikingNeuron) -> tuple[float, float]:
        """Membrane and current decay factors, which have to be one for all neurons."""
        beta, alpha = neuron.beta, neuron.alpha
        one = not any(isinstance(value, Tensor) for value in (beta, alpha, neuron.gain, neuron.v_bias, neuron.v_init))
        if not one or neuron.gain != 1 or neuron.v_bias != 0 or neuron.v_init != 0 or not neuron.fires:
            raise ConfigurationError(
                "state target: neurons with constants of their own, a gain, a bias or an initial membrane are "
                "not trained in integers; quantize the weights alone (state_target=None)"
            )
        if alpha != 0 and (self.bias is not None or not self.target.current_bits):
            raise ConfigurationError(
                f"state target: neurons with a synaptic current are trained in integers of {self.target.name} only "
                "without biases, where the target has a current; quantize the weights alone (state_target=None)"
            )
        assert isinstance(beta, float)
        assert isinstance(alpha, float)
        return beta, alpha

    def integer_bias(self) -> Tensor:
        """The bias in least significant bits of the membrane, as mantissa and exponent hold it; one exponent for each
        population of equal weight scale."""
        if self.bias is None:
            return torch.zeros((), dtype=torch.int64)
        scale = self.weight_scale.cpu()
        exact = self.bias.detach().cpu().double() / scale * (1 << self.target.activation_shift)
        population = torch.from_numpy(alike(scale.expand_as(exact).flatten().numpy())).view(exact.shape)
        found = torch.zeros(exact.shape, dtype=torch.int64)
        for each in range(int(population.max()) + 1):
            here = population == each
            parts = split_bias(
                exact[here].numpy(), bits=self.target.bias_mantissa_bits, exponent_max=self.target.bias_exponent_max
            )
            if parts is None:
                most = float(exact[here].abs().max())
                raise ConfigurationError(
                    f"state target: a bias of {most:g} least significant bits does not fit its width; lower the bias"
                )
            mantissa, exponent = parts
            found[here] = torch.from_numpy(mantissa << exponent)
        return found.to(self.bias.device)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Synaptic current and membrane after a time step, (batch, ...)."""

    u: Tensor
    v: Tensor


class SpikingNeuron(nn.Module):
    """A population of neurons. Constants are buffers: scalars, or of the shape of the population.

    Attributes:
        threshold: θ > 0 (a parameter if `learn_threshold`).
        beta: decay factor of the membrane, 0 ... 1; a number, or a buffer where it differs by neuron.
        alpha: decay factor of the synaptic current, likewise; 0 for none.
        gain: g, factor of the input; 1 for none.
        v_bias: b, added to the membrane in each time step; 0 for none.
        v_init: membrane before time step 1; 0 for none.
        fires: false for neurons that only integrate; their output is the membrane.
        reset: "hard" or "soft".
    """

    threshold: Tensor
    beta: float | Tensor
    alpha: float | Tensor
    gain: float | Tensor
    v_bias: float | Tensor
    v_init: float | Tensor

    def __init__(
        self,
        *,
        threshold: float | Tensor = 1.0,
        beta: float | Tensor = 1.0,
        alpha: float | Tensor = 0.0,
        gain: float | Tensor = 1.0,
        v_bias: float | Tensor = 0.0,
        v_init: float | Tensor = 0.0,
        fires: bool = True,
        reset: Reset = "hard",
        surrogate: Surrogate | None = None,
        detach_reset: bool = True,
        learn_threshold: bool = False,
    ) -> None:
        super().__init__()
        value = threshold if isinstance(threshold, Tensor) else torch.tensor(float(threshold))
        value = value.clone()
        if learn_threshold:
            self.threshold = nn.Parameter(value)
        else:
            self.register_buffer("threshold", value)
        for name, given in (("beta", beta), ("alpha", alpha), ("gain", gain), ("v_bias", v_bias), ("v_init", v_init)):
            if isinstance(given, Tensor):
                self.register_buffer(name, given.clone())
            else:
                setattr(self, name, float(given))
        self.fires = fires
        self.reset: Reset = reset
        self.surrogate = surrogate or Surrogate()
        self.detach_reset = detach_reset

    @property
    def is_plain(self) -> bool:
        """Whether the compiled scan can compute this neuron."""
        constants = (self.beta, self.alpha, self.gain, self.v_bias, self.v_init)
        scalars = not any(isinstance(value, Tensor) for value in constants) and self.threshold.ndim == 0
        return scalars and self.fires and constants[1:] == (0.0, 1.0, 0.0, 0.0)

    def forward(self, current: Tensor, *, integers: IntegerForm | None = None) -> Tensor:
        """(T, batch, ...) -> spikes (T, batch, ...), or membranes of neurons that do not fire.

        With `integers`, the spikes are exactly those of the deployed neuron.
        """
        if integers is not None:
            return integers.scan(current, self)
        if self.is_plain:
            return scan(
                current, threshold=self.threshold, beta=float(self.beta), reset=self.reset, surrogate=self.surrogate,
                detach_reset=self.detach_reset,
            )  # fmt: skip
        state, outputs = self.start(current[0]), []
        for arrived in current:
            output, state = self.step(arrived, state)
            outputs.append(output)
        return torch.stack(outputs)

    def start(self, like: Tensor) -> State:
        """The state before time step 1, of the shape (batch, ...) of a current."""
        rest = torch.zeros_like(like)
        return State(u=rest, v=rest + self.v_init)

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: output (batch, ...), and the state after it."""
        arrived = current if _is(self.gain, 1.0) else current * self.gain
        u = arrived if _is(self.alpha, 0.0) else self.alpha * state.u + arrived
        v = self.beta * state.v + u
        if not _is(self.v_bias, 0.0):
            v = v + self.v_bias
        if not self.fires:
            return v, State(u=u, v=v)
        spikes = self._spikes(v)
        fired = spikes.detach() if self.detach_reset else spikes
        return spikes, State(u=u, v=v - self.threshold * fired if self.reset == "soft" else v * (1 - fired))

    def _spikes(self, v: Tensor) -> Tensor:
        """v > θ with its surrogate gradient: one time step of the scan, for neurons of one threshold."""
        if self.threshold.ndim == 0:
            return scan(v.unsqueeze(0), threshold=self.threshold, beta=1.0, reset="hard", surrogate=self.surrogate)[0]
        spikes: Tensor = _Spike.apply(v, self.threshold, self.surrogate)  # type: ignore[no-untyped-call]
        return spikes


def _is(value: float | Tensor, number: float) -> bool:
    return not isinstance(value, Tensor) and value == number


class _Spike(torch.autograd.Function):
    """v > θ for thresholds that differ by neuron; `torch.func` differentiates it and maps it over samples."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, threshold: Tensor, surrogate: Surrogate) -> Tensor:
        """Spikes of the type of v."""
        return (v > threshold).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Save membrane and threshold."""
        v, threshold, ctx.surrogate = inputs
        ctx.save_for_backward(v, threshold)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Gradients with respect to the membrane and the threshold."""
        v, threshold = ctx.saved_tensors
        of_v = given * ctx.surrogate.derivative(v, threshold)
        of_threshold = -of_v.sum_to_size(threshold.shape) if ctx.needs_input_grad[1] else None
        return of_v, of_threshold, None
