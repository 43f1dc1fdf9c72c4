"""SpikingNet: an ANN's layers with spiking neurons in place of its activations, run over time.

Layers without memory see time and batch as one axis; neurons scan over time. The last layer is read, by its membrane
(U_L^T: it only integrates) or by its spike count.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks.families import ModelSpec, SignedInput, build_ann
from neuroprivacy.networks.neuron import IntegerForm, SpikingNeuron
from neuroprivacy.networks.quantized import SCALE, check_weight_bits, fit_scale, quantized_layer, weight_unit
from neuroprivacy.networks.recompute import is_too_much, recomputed
from neuroprivacy.networks.sizes import neurons_of
from neuroprivacy.networks.surrogate import Surrogate
from neuroprivacy.program.encoder import DIRECT_HIGH, Coding
from neuroprivacy.program.network import Readout
from neuroprivacy.targets.spec import load_target

Schedule = Literal["ideal", "chip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikingSpec:
    """What makes a spiking network of an ANN's layers; plain values, stored in checkpoints.

    Attributes:
        model: the ANN's layers.
        beta: membrane decay per step; 1 is integrate-and-fire.
        reset: "hard" or "soft".
        coding: input coding.
        steps: time steps T.
        readout: "membrane" (the last layer integrates and never fires) or "spike_count".
        surrogate: name of the surrogate gradient.
        surrogate_scale: multiplies it.
        schedule: "ideal", or "chip" for a network that is trained and deployed with the chip's uncorrected bias timing.
        weight_bits: width of quantized weights (2 ... 8, or "ternary"), for quantization-aware training; None for none.
        state_target: name of the target whose integer neurons are computed while training, on quantized weights; None
            for real ones.
        populations: most different scales of a layer's quantized weights, one for each population of output channels
            that the chip is to have.
    """

    model: ModelSpec
    beta: float = 1.0
    reset: Reset = "hard"
    coding: Coding = "poisson"
    steps: int = 16
    readout: Readout = "membrane"
    surrogate: str = "privatesnn"
    surrogate_scale: float = 1.0
    schedule: Schedule = "ideal"
    weight_bits: WeightBits | None = None
    state_target: str | None = None
    populations: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.beta <= 1:
            raise ConfigurationError(f"beta: {self.beta} is not in (0, 1]")
        if self.steps < 1:
            raise ConfigurationError(f"steps: {self.steps} is below 1")
        check_weight_bits(self.weight_bits)
        if self.populations < 1 or (self.populations > 1 and self.weight_bits is None):
            raise ConfigurationError(f"populations: {self.populations} of weights that are not quantized")
        if self.state_target is not None:
            load_target(self.state_target)
            if self.weight_bits is None or self.schedule != "ideal":
                raise ConfigurationError("state target: integer neurons need quantized weights and the ideal schedule")
        if self.reset not in ("hard", "soft") or self.readout not in ("membrane", "spike_count"):
            raise ConfigurationError(f"reset {self.reset!r} or readout {self.readout!r} is unknown")
        if (self.coding == "poisson-signed") != self.model.signed_input:
            raise ConfigurationError(
                f"coding: {self.coding} does not fit an ANN that was trained with"
                f"{'' if self.model.signed_input else 'out'} signed input; "
                "train with --signed-input and use poisson-signed, or neither"
            )

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpikingOutput:
    """Result of a forward pass.

    Attributes:
        readout: (batch, classes): membrane after the last step, or number of spikes.
        spikes: layer name -> (T, batch, ...) if asked for.
    """

    readout: Tensor
    spikes: dict[str, Tensor]


class SpikingNet(nn.Module):
    """A spiking network.

    Attributes:
        spec: what it is.
        layers: the ANN's modules by name, activations replaced by `SpikingNeuron`.
        recompute: whether training keeps only the spikes of each layer, a byte each, and computes what lies between
            them a second time for the gradient: about a third slower, in a fraction of the memory, the same numbers but
            for the order of sums (see `recompute`). None: where a pass would keep more than 4 GiB, or half of a GPU's
            memory.
    """

    def __init__(self, spec: SpikingSpec) -> None:
        super().__init__()
        self.spec = spec
        surrogate = Surrogate(name=spec.surrogate, scale=spec.surrogate_scale)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        made = dict(build_ann(spec.model).named_children())
        result = [name for name, module in made.items() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
        for name, module in made.items():
            if isinstance(module, SignedInput):
                continue  # the encoder does it
            if isinstance(module, nn.BatchNorm2d):
                raise ConfigurationError(f"{name}: fold batch norm into the convolution before making it spike")
            if spec.weight_bits is not None and isinstance(module, nn.Linear | nn.Conv2d):
                # What is read stays one population.
                module = quantized_layer(
                    module, spec.weight_bits, populations=1 if name == result else spec.populations
                )
            spiking = isinstance(module, nn.ReLU)
            layers[name] = SpikingNeuron(beta=spec.beta, reset=spec.reset, surrogate=surrogate) if spiking else module
        if spec.readout == "spike_count":
            layers["outact"] = SpikingNeuron(beta=spec.beta, reset=spec.reset, surrogate=surrogate)
        self.layers = nn.Sequential(layers)
        self.recompute: bool | None = None

    def neurons(self) -> dict[str, SpikingNeuron]:
        """Spiking layers by name, in order."""
        return {n: m for n, m in self.layers.named_children() if isinstance(m, SpikingNeuron)}

    def with_steps(self, steps: int) -> SpikingNet:
        """A network with the same weights that runs for another number of steps."""
        net = SpikingNet(replace(self.spec, steps=steps))
        net.load_state_dict(self.state_dict())
        net.recompute = self.recompute
        return net.to(next(self.parameters()).device)

    def quantized(self, bits: WeightBits, *, state_target: str | None = None, populations: int = 1) -> SpikingNet:
        """A network with the same weights, rounded to `bits` in its forward pass: to be trained on.

        Args:
            bits: 2 ... 8 or "ternary".
            state_target: the target whose integer neurons it computes; None for real ones.
            populations: most populations that each layer may become on the chip, with a scale of its own for each.
        """
        net = SpikingNet(replace(self.spec, weight_bits=bits, state_target=state_target, populations=populations))
        net.recompute = self.recompute
        # Scales are fitted to these weights.
        net.load_state_dict({n: v for n, v in self.state_dict().items() if not n.endswith(SCALE)}, strict=False)
        for module in net.modules():
            if hasattr(module, "quant_weight"):
                fit_scale(module)
        return net.to(next(self.parameters()).device).eval()

    def forward(self, x: Tensor, *, schedule: Schedule | None = None, record: bool = False) -> SpikingOutput:
        """Run over time.

        Args:
            x: (T, batch, *input shape), input of each step; or (1, batch, *input shape), constant over `spec.steps`.
            schedule: "ideal": no latency. "chip": every layer costs a step and biases act from step 1, as on Loihi
                without `align_bias`; the result is read latency steps late.
                None takes the network's own.
            record: whether to keep the spikes of each layer.
        """
        schedule = schedule or self.spec.schedule
        kept: dict[str, Tensor] = {}
        unit, spikes = self._input_unit(), False
        if schedule == "chip":
            latency = self._latency()
            x = x.expand(self.spec.steps, *x.shape[1:]) if len(x) == 1 else x
            x = torch.cat([x, x.new_zeros(latency, *x.shape[1:])])
        sizes = neurons_of(self.layers, self.spec.model.input_shape)
        again = torch.is_grad_enabled() and self._recomputes(x, sum(sizes))
        for number, part in enumerate(self._parts()):
            compute = partial(self._compute, part, unit, schedule)
            name, last = part[-1]
            fires = isinstance(last, SpikingNeuron)
            modules = [module for _, module in part]
            if again and fires:
                x = recomputed(compute, x, modules=modules, spikes=spikes, values=sizes[number] * self.spec.steps)
            else:
                x = compute(x)
            unit, spikes = torch.ones((), dtype=torch.float64), fires
            if record and fires:
                kept[name] = x
        return SpikingOutput(readout=self._read(x, schedule), spikes=kept)

    def _parts(self) -> list[list[tuple[str, nn.Module]]]:
        """The layers by name, cut behind each that spikes."""
        parts: list[list[tuple[str, nn.Module]]] = [[]]
        for name, module in self.layers.named_children():
            if parts[-1] and isinstance(parts[-1][-1][1], SpikingNeuron):
                parts.append([])
            parts[-1].append((name, module))
        return parts

    def _compute(self, part: list[tuple[str, nn.Module]], unit: Tensor, schedule: Schedule, x: Tensor) -> Tensor:
        """One part, (T or 1, batch, ...); `unit` is what one integer of its input is worth."""
        bias = None
        for _, module in part:
            if isinstance(module, SpikingNeuron):
                whole = x.expand(self.spec.steps, *x.shape[1:]) if len(x) == 1 else x
                x = module(whole, integers=self._integers(unit, bias))
            elif isinstance(module, nn.Dropout):
                # One mask per forward, shared over time (Kim et al. 2022, published code).
                x = x * module(torch.ones_like(x[0]))
            elif isinstance(module, nn.Conv2d | nn.Linear) and schedule == "chip":
                x = _one_step_late(module, x)
            else:
                x = module(x.flatten(0, 1)).unflatten(0, (len(x), -1))
                unit, bias = unit * _unit_of(module), _bias_of(module)
        return x

    def _recomputes(self, x: Tensor, neurons: int) -> bool:
        """Whether parts are computed a second time for their gradient: as asked for, or where memory wants it."""
        if self.recompute is not None:
            return self.recompute
        values = neurons * max(self.spec.steps, len(x)) * x.shape[1]
        return is_too_much(8 * values, x.device)  # membranes and spikes are kept, in single precision

    def _input_unit(self) -> Tensor:
        """What one integer of the input is worth."""
        return torch.full((), 1 / DIRECT_HIGH if self.spec.coding == "direct" else 1.0, dtype=torch.float64)

    def _integers(self, unit: Tensor, bias: Tensor | None) -> IntegerForm | None:
        """How the next neurons are computed in integers, if they are."""
        if self.spec.state_target is None:
            return None
        return IntegerForm(target=load_target(self.spec.state_target), unit=unit, bias=bias)

    def _latency(self) -> int:
        """Steps from input to output on a chip: one for each linear layer."""
        return sum(isinstance(m, nn.Conv2d | nn.Linear) for m in self.layers.children())

    def _read(self, x: Tensor, schedule: Schedule) -> Tensor:
        """The readout from the last layer's currents (membrane) or spikes (count)."""
        if self.spec.readout == "spike_count":
            return x[self._latency() :].sum(0) if schedule == "chip" else x.sum(0)
        if len(x) == 1:
            x = x.expand(self.spec.steps, *x.shape[1:])
        if self.spec.beta == 1:
            return x.sum(0)
        v = torch.zeros_like(x[0])
        for current in x:
            v = self.spec.beta * v + current
        return v


def _unit_of(module: nn.Module) -> Tensor:
    """By what a layer changes what one integer is worth."""
    if isinstance(module, nn.AvgPool2d):
        size = module.kernel_size
        rows, columns = (size, size) if isinstance(size, int) else (size[0], size[1])
        return torch.tensor(1 / (rows * columns), dtype=torch.float64)
    unit = weight_unit(module)
    if unit is None or unit.numel() == 1:
        return torch.ones(()) if unit is None else unit.double().reshape(())
    return unit.double().reshape(-1, 1, 1) if isinstance(module, nn.Conv2d) else unit.double().reshape(-1)


def _bias_of(module: nn.Module) -> Tensor | None:
    """A layer's bias, as it broadcasts over one step of its output."""
    bias: Tensor | None = getattr(module, "bias", None)
    return bias.view(-1, 1, 1) if bias is not None and isinstance(module, nn.Conv2d) else bias


def _one_step_late(module: nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    """A linear layer on a chip: its input arrives one step late, its bias acts at every step."""
    late = torch.cat([x.new_zeros(1, *x.shape[1:]), x[:-1]])
    result: Tensor = module(late.flatten(0, 1)).unflatten(0, (len(x), -1))
    return result


def spiking_input(samples: Tensor, *, spec: SpikingSpec, generator: torch.Generator | None = None) -> Tensor:
    """Input for training: samples (batch, ...) in [0, 1] -> (T or 1, batch, ...), with torch's own random draws.

    The distribution is that of `neuroprivacy.program.encoder.encode`, which deployment uses; the numbers are not.
    `direct` is quantized to 8 bits with a straight-through gradient.
    """
    if spec.coding == "direct":
        rounded = (samples * DIRECT_HIGH).round() / DIRECT_HIGH
        return (samples + (rounded - samples).detach()).unsqueeze(0)
    value = 2 * samples - 1 if spec.coding == "poisson-signed" else samples
    shape = (spec.steps, *samples.shape)
    draws = torch.rand(shape, generator=generator, device="cpu" if generator else samples.device).to(samples.device)
    return (draws < value.abs()).to(samples.dtype) * value.sign()


def spec_from(described: Mapping[str, Any]) -> SpikingSpec:
    """The spec that `SpikingSpec.describe` wrote down."""
    from neuroprivacy.networks.families import spec_from as model_from

    return SpikingSpec(**{**described, "model": model_from(described["model"])})
