"""SpikingNetwork: a graph of layers and spiking neurons, run over time. Every spiking network here is one.

Families, conversion and NIR files build it; training, quantization-aware training, gradient checkpointing, export and
attacks know nothing else. Layers without memory see time and batch as one axis, neurons scan over time, and the first
output is read: by its membrane (U_L^T: it only integrates) or by its spike count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks.integer_current import constant_current, current_scale
from neuroprivacy.networks.layer_graph import Node, Shape
from neuroprivacy.networks.layers import Delay
from neuroprivacy.networks.neuron import IntegerForm, SpikingNeuron, State
from neuroprivacy.networks.populations import Population, check_nodes, latency_of, plan
from neuroprivacy.networks.quantized import QuantizedScale
from neuroprivacy.networks.recompute import exceeds_memory, recomputed
from neuroprivacy.networks.spec import Schedule, SpikingSpec
from neuroprivacy.program.encoder import DIRECT_HIGH
from neuroprivacy.targets.spec import load_target

#: Reads an input or a population, delayed by so many time steps of the model.
Read = Callable[[str, float], Tensor]
#: Values of nodes that several nodes read, by name and delay.
Memo = dict[tuple[str, float], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpikingOutput:
    """The result of a forward pass.

    Attributes:
        readout: (batch, outputs): membrane after the last time step, or number of spikes.
        spikes: population -> (T, batch, ...) if asked for.
    """

    readout: Tensor
    spikes: dict[str, Tensor]


class SpikingNetwork(nn.Module):
    """A spiking neural network on a graph of layers, run over T time steps.

    Attributes:
        spec: settings of neurons, coding, time steps, readout and quantization.
        nodes: what is computed, in order.
        layers: modules by the name of their node.
        outputs: nodes that are read; the first is the readout.
        recompute: gradient checkpointing: a forward pass stores only the spikes, a byte each, and the
            backward pass computes the values between them again. It is about a third slower and needs a fraction of the
            memory; gradients are equal up to the order of sums (see `recompute`). None: where a pass would store more
            than 4 GiB, or half of a GPU's memory.
    """

    def __init__(
        self,
        spec: SpikingSpec,
        nodes: Sequence[Node],
        layers: Mapping[str, nn.Module],
        *,
        outputs: Sequence[str] | None = None,
    ) -> None:
        """Args as the attributes; `outputs` defaults to the last node.

        Raises:
            ConfigurationError: a node reads an unknown or later layer or lacks its module, a name is taken or not
                allowed, or the membrane of a population that spikes is to be read.
        """
        super().__init__()
        self.spec = spec
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs) if outputs else (self.nodes[-1].name,)
        check_nodes(self.nodes, layers, self.outputs)
        self.layers = nn.ModuleDict({node.name: layers[node.name] for node in self.nodes if node.name in layers})
        self.recompute: bool | None = None
        self._by_name = {node.name: node for node in self.nodes}
        self.plan = plan(self.nodes, dict(self.layers.items()), self.outputs)
        if spec.readout == "membrane" and self._fires(self.outputs[0]):
            raise ConfigurationError(
                f"{self.outputs[0]}: spikes, and its membrane is reset; use readout='spike_count', or end in a layer"
            )
        readers = [source for node in self.nodes for source in node.sources]
        self._shared = {name for name in self._by_name if readers.count(name) > 1}

    @property
    def input_shape(self) -> Shape:
        """Shape of the first input, without time and batch."""
        return next(node.shape for node in self.nodes if node.kind == "input")

    @property
    def output_shape(self) -> Shape:
        """Shape of the readout, without the batch."""
        return self._by_name[self.outputs[0]].shape

    def neurons(self) -> dict[str, SpikingNeuron]:
        """Populations that fire, by name, in order."""
        found = {node.name: self.module_of(node.name) for node in self.nodes if node.kind == "neuron"}
        return {name: m for name, m in found.items() if isinstance(m, SpikingNeuron) and m.fires}

    def with_time_steps(self, time_steps: int) -> SpikingNetwork:
        """A network with the same weights that runs for another number of time steps."""
        net = deepcopy(self)
        net.spec = replace(self.spec, time_steps=time_steps)
        return net

    def forward(
        self, x: Tensor | Mapping[str, Tensor], *, schedule: Schedule | None = None, record: bool = False
    ) -> SpikingOutput:
        """Run the network over all time steps.

        Args:
            x: (T, batch, *input shape), input of each time step; or (1, batch, *input shape), constant over
                `spec.time_steps`. By input name where there are several.
            schedule: "ideal": no latency. "chip": every connection costs a time step and biases act from time step 1,
                as on Loihi without compensated bias latency; the result is read latency steps late. None takes the
                network's own.
            record: whether to keep the spikes of each population.
        """
        chip = (schedule or self.spec.schedule) == "chip"
        values = self._inputs(x, chip)
        given = next(iter(values.values()))
        again = torch.is_grad_enabled() and self._recomputes(given)
        memos: defaultdict[int, Memo] = defaultdict(dict)  # by latency: on a chip it delays what a population reads
        spikes: dict[str, Tensor] = {}
        for members, loop in self.plan.groups:
            if loop:
                values.update(self._loop(members, values, chip))
            else:
                memo = memos[latency_of(self.plan, members[0].name) if chip else 0]
                values[members[0].name] = self._straight(members[0], values, chip, again, memo)
            if record:
                spikes.update({p.name: values[p.name] for p in members if p.neurons and self._neuron(p).fires})
            self._forget(members[-1], values)
        return SpikingOutput(readout=self._read(values[self.outputs[0]], chip), spikes=spikes)

    def _inputs(self, x: Tensor | Mapping[str, Tensor], chip: bool) -> dict[str, Tensor]:
        ports = [node.name for node in self.nodes if node.kind == "input"]
        given = dict(x) if isinstance(x, Mapping) else {ports[0]: x}
        if given.keys() != set(ports):
            raise ConfigurationError(f"input: the network reads {', '.join(ports)}; the input names {', '.join(given)}")
        if not chip:
            return given
        idle = self._idle()
        return {
            n: torch.cat([v := self._over_time(value), v.new_zeros(idle, *v.shape[1:])]) for n, value in given.items()
        }

    def _idle(self) -> int:
        """Time steps that a chip computes after the input: the largest latency of an output."""
        return max(latency_of(self.plan, name) for name in self.outputs)

    def _straight(
        self, population: Population, values: Mapping[str, Tensor], chip: bool, again: bool, memo: Memo
    ) -> Tensor:
        """A population outside loops over all time steps, (T, batch, ...); currents where it has no neurons."""
        sources = population.sources
        neuron = self._neuron(population) if population.neurons else None
        if not again or neuron is None or not neuron.fires:
            return self._population(population, values, chip, memo)
        return recomputed(
            lambda *each: self._population(population, dict(zip(sources, each, strict=True)), chip, {}),
            [values[source] for source in sources],
            modules=[neuron, *self._computing(population)],
            spikes=[self._fires(source) for source in sources],
            values=math.prod(self._by_name[population.name].shape) * self.spec.time_steps,
        )

    def _computing(self, population: Population) -> list[nn.Module]:
        """The layers of a population, and those whose weight scale they use."""
        modules = [m for name in population.members if (m := self.module_of(name)) is not None]
        return [*modules, *(m.owner for m in modules if isinstance(m, QuantizedScale))]

    def _population(self, population: Population, values: Mapping[str, Tensor], chip: bool, memo: Memo) -> Tensor:
        current = self._value(population.current, 0, self._reader(population, values, chip), memo)
        integers = self._integer_form(population)
        if not population.neurons:
            return current if integers is None else integers.rounded_bias(current)
        result: Tensor = self._neuron(population)(self._over_time(current), integers=integers)
        return result

    def _reader(self, population: Population, values: Mapping[str, Tensor], chip: bool) -> Read:
        """Builds a population's input for all time steps, on a chip shifted by the difference of latencies."""

        def read(source: str, delay: float) -> Tensor:
            """An input or the spikes of a population, delayed."""
            late = latency_of(self.plan, population.name) - latency_of(self.plan, source) if chip else 0
            return self._delayed(values[source], round(delay) + late)

        return read

    def _loop(self, members: Sequence[Population], values: Mapping[str, Tensor], chip: bool) -> dict[str, Tensor]:
        """Populations that feed each other, time step by time step."""
        if self.spec.state_target is not None:
            raise ConfigurationError(
                f"{members[0].name}: is part of a loop, whose neurons are not trained in integers; quantize the "
                "weights alone (state_target=None)"
            )
        own = {population.name for population in members}
        outside = {s: self._over_time(values[s]) for p in members for s in p.sources if s not in own}
        given = next(iter(outside.values()), next(iter(values.values())))
        steps, batch = (len(given) if len(given) > 1 else self.spec.time_steps), given.shape[1]
        outputs: dict[str, list[Tensor]] = {name: [] for name in own}
        states: dict[str, State] = {}
        for t in range(steps):
            for population in members:
                read = self._reader_at(t, population, outputs, outside, batch, given, chip)
                current = self._value(population.current, 0, read, {})[0]
                neuron = self._neuron(population)
                state = states.get(population.name) or neuron.start(current)
                output, states[population.name] = neuron.step(current, state)
                outputs[population.name].append(output)
        return {name: torch.stack(each) for name, each in outputs.items()}

    def _reader_at(
        self, t: int, population: Population, outputs: Mapping[str, Sequence[Tensor]], outside: Mapping[str, Tensor],
        batch: int, like: Tensor, chip: bool,
    ) -> Read:  # fmt: skip
        """Builds the input of a population in a loop, for time step t."""

        def read(source: str, delay: float) -> Tensor:
            """(1, batch, ...); zeros before the first time step."""
            steps = round(delay) or int(source in population.reads_late)
            if chip:
                steps += latency_of(self.plan, population.name) - latency_of(self.plan, source)
            at = t - steps
            if at < 0:
                return like.new_zeros(1, batch, *self._by_name[source].shape)
            return (outside[source][at] if source in outside else outputs[source][at]).unsqueeze(0)

        return read

    def _value(self, name: str, delay: float, read: Read, memo: Memo) -> Tensor:
        """A node's value, (T or 1, batch, *shape), `delay` time steps late; biases are not delayed."""
        node = self._by_name[name]
        if node.kind in ("input", "neuron"):
            return read(name, delay)
        if (name, delay) in memo:
            return memo[name, delay]
        module = self.module_of(name)
        if node.kind == "add":
            parts = [self._value(source, delay, read, memo) for source in node.sources]
            value = sum(parts[1:], start=parts[0])
        elif isinstance(module, Delay):
            value = self._delay(module, node.sources[0], delay, read, memo)
        else:
            value = self._at_once(module, self._value(node.sources[0], delay, read, memo))
        if name in self._shared:
            memo[name, delay] = value
        return value

    def _delay(self, module: Delay, source: str, delay: float, read: Read, memo: Memo) -> Tensor:
        """A delay in front of a node: the delays of a path add up and act on what it reads."""
        values = sorted(set(module.time_steps.flatten().tolist()))
        parts = [self._value(source, delay + more, read, memo) for more in values]
        if len(parts) == 1:
            return parts[0]
        masks = [(module.time_steps == more).to(parts[0].device) for more in values]
        return sum(
            (torch.where(mask, part, 0) for mask, part in zip(masks[1:], parts[1:], strict=True)),
            start=torch.where(masks[0], parts[0], 0),
        )

    @staticmethod
    def _at_once(module: nn.Module | None, x: Tensor) -> Tensor:
        """A layer without memory, time and batch as one axis."""
        if isinstance(module, nn.Dropout):
            # One mask per forward, shared over time (Kim et al. 2022, published code).
            masked: Tensor = x * module(torch.ones_like(x[0]))
            return masked
        assert module is not None
        result: Tensor = module(x.flatten(0, 1)).unflatten(0, (len(x), -1))
        return result

    def _integer_form(self, population: Population) -> IntegerForm | None:
        """The integer constants of a population; None if it is computed in floats."""
        if self.spec.state_target is None:
            return None
        return IntegerForm(
            target=load_target(self.spec.state_target), weight_scale=self.current_scale(population.current),
            bias=constant_current(population.current, population.members, self._by_name, self.module_of),
        )  # fmt: skip

    def current_scale(self, name: str) -> Tensor:
        """The real value of one integer of a node's value on a chip, float64; broadcasts over the node's shape."""
        return current_scale(name, self._by_name, self.module_of, self.spec.coding)

    def _recomputes(self, x: Tensor) -> bool:
        """Whether gradient checkpointing is used: as `recompute` says, or by the memory that the pass needs."""
        if self.recompute is not None:
            return self.recompute
        neurons = sum(math.prod(self._by_name[name].shape) for name in self.neurons())
        values = neurons * max(self.spec.time_steps, len(x)) * x.shape[1]
        return exceeds_memory(8 * values, x.device)  # membranes and spikes are stored, in single precision

    def _over_time(self, value: Tensor) -> Tensor:
        """A constant value at every time step."""
        return value.expand(self.spec.time_steps, *value.shape[1:]) if len(value) == 1 else value

    def _delayed(self, value: Tensor, steps: int) -> Tensor:
        """(T or 1, batch, ...) so many time steps later, zeros at first."""
        if steps == 0:
            return value
        value = self._over_time(value)
        steps = min(steps, len(value))
        return torch.cat([value.new_zeros(steps, *value.shape[1:]), value[: len(value) - steps]])

    def _forget(self, population: Population, values: dict[str, Tensor]) -> None:
        """Drop what no later population reads."""
        populations = self.plan.populations
        later = populations[populations.index(population) + 1 :]
        needed = {source for p in later for source in p.sources} | set(self.outputs)
        for name in [name for name in values if name not in needed and later]:
            del values[name]

    def _read(self, value: Tensor, chip: bool) -> Tensor:
        """The readout from the first output's currents or membranes (membrane), or spikes (count)."""
        name = self.outputs[0]
        value = self._over_time(value)
        if self.spec.readout == "spike_count":
            if not chip:
                return value.sum(0)
            late = latency_of(self.plan, name)
            return value[late : len(value) - self._idle() + late].sum(0)
        if self._by_name[name].kind == "neuron":
            return value[-1]
        if self.spec.beta == 1:
            return value.sum(0)
        v = torch.zeros_like(value[0])
        for current in value:
            v = self.spec.beta * v + current
        return v

    def module_of(self, name: str) -> nn.Module | None:
        """The module of a node; None for inputs and sums."""
        if name not in self.layers:
            return None
        return self.layers[name]

    def _neuron(self, population: Population) -> SpikingNeuron:
        found = self.layers[population.name]
        assert isinstance(found, SpikingNeuron)
        return found

    def _fires(self, name: str) -> bool:
        """Whether a node's values are spikes."""
        found = self.module_of(name)
        return isinstance(found, SpikingNeuron) and found.fires


def spiking_input(samples: Tensor, *, spec: SpikingSpec, generator: torch.Generator | None = None) -> Tensor:
    """Input for training: samples (batch, ...) in [0, 1] -> (T or 1, batch, ...), with torch's own random draws.

    The distribution is that of `neuroprivacy.program.encoder.encode`, which deployment uses; the numbers are not.
    `direct` is quantized to 8 bits with a straight-through gradient.

    Raises:
        ConfigurationError: the network takes events, which no image is encoded to.
    """
    if spec.coding is None:
        raise ConfigurationError("coding: this network takes events; give it spikes (T, batch, ...)")
    if spec.coding == "direct":
        rounded = (samples * DIRECT_HIGH).round() / DIRECT_HIGH
        return (samples + (rounded - samples).detach()).unsqueeze(0)
    value = 2 * samples - 1 if spec.coding == "poisson-signed" else samples
    shape = (spec.time_steps, *samples.shape)
    draws = torch.rand(shape, generator=generator, device="cpu" if generator else samples.device).to(samples.device)
    return (draws < value.abs()).to(samples.dtype) * value.sign()
