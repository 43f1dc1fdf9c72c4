"""A layer of spiking neurons: real ones, or a target's integers while it is trained for them."""

from __future__ import annotations

from dataclasses import dataclass

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
    """How a layer is computed in a target's integers while it is trained.

    Attributes:
        target: the chip.
        unit: what one weight unit is worth in the current, a scalar, or as it broadcasts over one step.
        bias: the part of the current that is constant, as it broadcasts over one step; None for none.
    """

    target: TargetSpec
    unit: Tensor
    bias: Tensor | None = None

    def scan(self, current: Tensor, neuron: SpikingNeuron) -> Tensor:
        """Spikes for a current (T, batch, ...), as `lower` will have the chip compute them."""
        target, unit = self.target, self.unit.to(current.device)
        # The bias goes by its own way, in `whole`: its gradient is that of the current that it is part of.
        constant = 0.0 if self.bias is None else self.bias.detach()
        theta = integer_threshold(
            neuron.threshold.detach().double().cpu().numpy(), scale=self.unit.double().cpu().numpy(),
            test=target.threshold_test,
        )  # fmt: skip
        whole = IntegerNeuron(
            rule=target.rule,
            threshold=torch.as_tensor(theta, device=current.device),
            dv=int(integer_decay(np.array(neuron.beta), bits=target.decay_bits)),
            bias=self._whole_bias(),
            soft=neuron.reset == "soft",
        )
        unit = unit.to(current.dtype)
        return integer_scan((current - constant) / unit, whole, derivative=neuron.surrogate.derivative, unit=unit)

    def _whole_bias(self) -> Tensor:
        """The bias in lsb of the membrane, as mantissa and exponent hold it: an exponent for each population."""
        if self.bias is None:
            return torch.zeros((), dtype=torch.int64)
        unit = self.unit.cpu()
        exact = self.bias.detach().cpu().double() / unit * (1 << self.target.activation_shift)
        population = torch.from_numpy(alike(unit.expand_as(exact).flatten().numpy())).view(exact.shape)
        whole = torch.zeros(exact.shape, dtype=torch.int64)
        for each in range(int(population.max()) + 1):
            here = population == each
            found = split_bias(
                exact[here].numpy(), bits=self.target.bias_mantissa_bits, exponent_max=self.target.bias_exponent_max
            )
            if found is None:
                most = float(exact[here].abs().max())
                raise ConfigurationError(f"state target: a bias of {most:g} lsb does not fit its width")
            mantissa, exponent = found
            whole[here] = torch.from_numpy(mantissa << exponent)
        return whole.to(self.bias.device)


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
