"""The counts of a run, computed by one function for every backend.

Spikes, synaptic operations and neuron updates follow from the number of events of each source and from the Program;
they are computed here alone. Extremes, wraps and saturations come from the backends that report them.

A synaptic operation (synop) is a weight touched by a non-zero source value. It is counted at the source: a spike that
the end of the run leaves undelivered counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program

Value = TypeVar("Value")


class Late(Mapping[str, Value]):
    """Values by name, each computed on first access."""

    def __init__(self, names: Sequence[str], make: Callable[[str], Value]) -> None:
        self._names, self._make = names, make
        self._made: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._made:
            if name not in self._names:
                raise KeyError(name)
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """Extremes and overflows that a backend observes, per sample, int64 (samples,).

    Attributes:
        max_activation: largest |a|; likewise `max_current` |u| and `max_membrane` |v| (v before the reset).
        wraps: number of wraps of a current.
        saturations: number of saturations of a membrane.
    """

    max_activation: Int64
    max_current: Int64
    max_membrane: Int64
    wraps: Int64
    saturations: Int64

    @classmethod
    def of_columns(cls, seen: Int64) -> Observed:
        """From (samples, 5): one column for each attribute, in their order."""
        return cls(**dict(zip(cls.__dataclass_fields__, seen.T, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerCounts:
    """Counts of one layer, per sample, int64 (samples,).

    Attributes:
        spikes: spikes emitted in all computed time steps.
        operations: synaptic operations into this layer; the sum of `edge_operations`.
        edge_operations: synaptic operations of each edge, in the order of the layer's edges.
        updates: neurons times time steps.
        observed: extremes, wraps and saturations; None if the backend does not report them.
    """

    spikes: Int64
    operations: Int64
    edge_operations: tuple[Int64, ...]
    updates: Int64
    observed: Observed | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """Counts of a run: per layer, and non-zero values per input port, int64 (samples,)."""

    steps: int
    inputs: Mapping[str, Int64]
    layers: Mapping[str, LayerCounts]

    def totals(self) -> dict[str, dict[str, int | None]]:
        """Sums (maxima for extremes) over samples, as plain numbers."""
        table: dict[str, dict[str, int | None]] = {}
        for name, layer in self.layers.items():
            seen = layer.observed
            table[name] = {
                "spikes": int(layer.spikes.sum()),
                "operations": int(layer.operations.sum()),
                "updates": int(layer.updates.sum()),
                "max_activation": int(seen.max_activation.max()) if seen else None,
                "max_current": int(seen.max_current.max()) if seen else None,
                "max_membrane": int(seen.max_membrane.max()) if seen else None,
                "wraps": int(seen.wraps.sum()) if seen else None,
                "saturations": int(seen.saturations.sum()) if seen else None,
            }
        return table


class Tally(Protocol):
    """The events (non-zero source values) that a backend counted."""

    def events(self, name: str) -> Int64:
        """Events of a port or layer in all time steps, (samples,)."""

    def operations(self, name: str) -> tuple[Int64, ...]:
        """Synaptic operations of each edge into a layer, (samples,) each."""

    def observed(self, name: str) -> Observed | None:
        """Extremes and overflows of a layer, if the backend reports them."""


class EventTally:
    """Event counts of a run, added up as it goes."""

    def __init__(
        self, program: Program, events: Mapping[str, Int64], observed: Mapping[str, Observed] | None = None
    ) -> None:
        """Start counting a run.

        Args:
            program: the Program of the run.
            events: port or layer name -> time steps in which each of its values was not zero, int64 (samples, values).
            observed: layer name -> extremes and overflows, if the backend reports them.
        """
        self._program, self._events, self._observed = program, events, observed

    def events(self, name: str) -> Int64:
        """See `Tally`."""
        return np.asarray(self._events[name].sum(axis=1), np.int64)

    def operations(self, name: str) -> tuple[Int64, ...]:
        """See `Tally`."""
        edges = self._program.layer(name).edges
        return tuple(np.asarray(self._events[edge.source] @ edge.map.fan_out(), np.int64) for edge in edges)

    def observed(self, name: str) -> Observed | None:
        """See `Tally`."""
        return self._observed[name] if self._observed is not None else None


def count(program: Program, tally: Tally, *, steps: int, late: bool = False) -> Counts:
    """Turn a run's tally into its `Counts`.

    Args:
        program: the Program of the run.
        tally: events, extremes and overflows.
        steps: computed time steps, T + latency.
        late: count on first access, to keep short runs short; `tally` is kept until then.
    """

    sizes = program.sizes  # not the Program: late counts may be kept for long

    def of_layer(name: str) -> LayerCounts:
        """The counts of one layer."""
        per_edge, spikes = tally.operations(name), tally.events(name)
        return LayerCounts(
            spikes=spikes,
            operations=sum(per_edge, start=np.zeros(len(spikes), np.int64)),
            edge_operations=per_edge,
            updates=np.full(len(spikes), sizes[name] * steps, np.int64),
            observed=tally.observed(name),
        )

    inputs, layers = Late(program.port_names, tally.events), Late(program.layer_names, of_layer)
    return Counts(steps=steps, inputs=inputs if late else dict(inputs), layers=layers if late else dict(layers))


def join_counts(parts: list[Counts]) -> Counts:
    """The counts of consecutive batches as one."""

    def joined(values: list[Int64]) -> Int64:
        return np.concatenate(values)

    layers: dict[str, LayerCounts] = {}
    for name in parts[0].layers:
        each = [part.layers[name] for part in parts]
        seen = [layer.observed for layer in each]
        observed = None
        if all(s is not None for s in seen):
            fields = Observed.__dataclass_fields__
            observed = Observed(**{f: joined([getattr(s, f) for s in seen]) for f in fields})
        layers[name] = LayerCounts(
            spikes=joined([layer.spikes for layer in each]),
            operations=joined([layer.operations for layer in each]),
            edge_operations=tuple(
                joined(list(edge)) for edge in zip(*(layer.edge_operations for layer in each), strict=True)
            ),
            updates=joined([layer.updates for layer in each]),
            observed=observed,
        )
    inputs = {name: joined([part.inputs[name] for part in parts]) for name in parts[0].inputs}
    return Counts(steps=parts[0].steps, inputs=inputs, layers=layers)
