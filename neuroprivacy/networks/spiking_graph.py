"""SpikingGraph: a network of a user's own layers, with branches and sums, run over time.

It is a list of steps in topological order. A step is the input, a layer without memory, a factor, a sum of what its
sources give, or spiking neurons. As in `SpikingNet`, layers see time and batch as one axis, neurons scan over time, and
the last step is read by its membrane or by its spike count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks.neuron import SpikingNeuron
from neuroprivacy.networks.spiking import SpikingOutput, SpikingSpec

Kind = Literal["input", "layer", "relu", "neuron", "add"]
#: What `SpikingSpec.model.family` says of a network that is none of our families.
USER_FAMILY = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a network.

    Attributes:
        name: its name; that of its module in `SpikingGraph.layers`, if it has one.
        kind: what it does. "relu" stands only in an ANN that has not been converted.
        sources: names of the steps whose values it takes.
        shape: of what it gives, without time and batch.
    """

    name: str
    kind: Kind
    sources: tuple[str, ...]
    shape: tuple[int, ...]


class Scale(nn.Module):
    """All values times one factor: what a spike is worth on a path without weights.

    Attributes:
        factor: scalar buffer.
    """

    factor: Tensor

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(float(factor)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * self.factor


class SpikingGraph(nn.Module):
    """A spiking network of steps.

    Attributes:
        spec: constants, coding, steps and readout; its `model` holds the shapes only, its family is "user".
        steps: what is computed, in order; the last one is read.
        layers: modules by the name of their step.
    """

    def __init__(self, spec: SpikingSpec, steps: Sequence[Step], layers: Mapping[str, nn.Module]) -> None:
        """Args as the attributes.

        Raises:
            ConfigurationError: a step takes what no earlier step gives, or lacks its module.
        """
        super().__init__()
        known: set[str] = set()
        for step in steps:
            if missing := [source for source in step.sources if source not in known]:
                raise ConfigurationError(f"{step.name}: takes {', '.join(missing)}, which no earlier step gives")
            if step.kind in ("layer", "neuron") and step.name not in layers:
                raise ConfigurationError(f"{step.name}: has no module")
            if step.kind == "relu":
                raise ConfigurationError(f"{step.name}: is a ReLU; convert the network first")
            known.add(step.name)
        self.spec = spec
        self.steps = tuple(steps)
        self.layers = nn.ModuleDict(dict(layers))

    def neurons(self) -> dict[str, SpikingNeuron]:
        """Spiking layers by name, in order."""
        return {s.name: m for s in self.steps if isinstance(m := self.module(s), SpikingNeuron)}

    def module(self, step: Step) -> nn.Module | None:
        """What computes a step; None for the input and for sums."""
        for name, module in self.layers.items():
            if name == step.name:
                return module
        return None

    def forward(self, x: Tensor, *, record: bool = False) -> SpikingOutput:
        """Run over time, without latency.

        Args:
            x: (T, batch, *input shape), input of each step; or (1, batch, *input shape), constant over `spec.steps`.
            record: whether to keep the spikes of each layer.
        """
        values: dict[str, Tensor] = {}
        kept: dict[str, Tensor] = {}
        for step in self.steps:
            values[step.name] = self._compute(step, values, x)
            if record and step.kind == "neuron":
                kept[step.name] = values[step.name]
        return SpikingOutput(readout=self._read(values[self.steps[-1].name]), spikes=kept)

    def _compute(self, step: Step, values: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """What one step gives, (T or 1, batch, *shape), from what the steps before it gave."""
        if step.kind == "input":
            return x
        given = [values[source] for source in step.sources]
        module = self.module(step)
        if module is None:
            total = given[0]
            for other in given[1:]:
                total = total + other
            return total
        (value,) = given
        if isinstance(module, SpikingNeuron):
            spikes: Tensor = module(self._over_time(value))
            return spikes
        result: Tensor = module(value.flatten(0, 1)).unflatten(0, (len(value), -1))
        return result

    def _over_time(self, value: Tensor) -> Tensor:
        """A constant value at every step."""
        return value.expand(self.spec.steps, *value.shape[1:]) if len(value) == 1 else value

    def _read(self, value: Tensor) -> Tensor:
        """The readout from the last step's currents (membrane) or spikes (count)."""
        value = self._over_time(value)
        if self.spec.readout == "spike_count" or self.spec.beta == 1:
            return value.sum(0)
        v = torch.zeros_like(value[0])
        for current in value:
            v = self.spec.beta * v + current
        return v
