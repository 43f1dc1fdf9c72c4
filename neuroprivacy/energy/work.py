"""Counted operations of one inference: the input of the cost models."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Operations of one inference, means over samples.

    Attributes:
        neurons: all of them.
        firing: those that can fire; a readout that only integrates cannot.
        spikes: spikes emitted, input not included.
        operations: synaptic operations, weights touched by a non-zero source value.
        graded_operations: those of them whose source value may exceed ±1, so that it is multiplied.
        updates: neurons (of all layers) times steps.
        update_additions: additions of the membrane and, where the neuron has one, of the current.
        update_multiplications: multiplications of their decays.
        macs: multiply-accumulates of the ANN with the same layers.
        steps: computed steps, the latency included.
    """

    neurons: int
    firing: int
    spikes: float
    operations: float
    graded_operations: float
    updates: float
    update_additions: float
    update_multiplications: float
    macs: int
    steps: int

    @property
    def spikes_per_neuron(self) -> float:
        """N: mean spikes per firing neuron and inference."""
        return self.spikes / self.firing if self.firing else 0.0

    @property
    def rate(self) -> float:
        """Mean spikes per firing neuron and step."""
        return self.spikes_per_neuron / self.steps

    @property
    def spikes_per_synapse(self) -> float | None:
        """Synaptic operations per MAC of the ANN, to be compared with the break-even; None without MACs."""
        return self.operations / self.macs if self.macs else None

    def values(self) -> dict[str, Any]:
        """Fields of `WorkRecord`, the derived ones included."""
        derived = ("spikes_per_neuron", "rate", "spikes_per_synapse")
        return {**asdict(self), **{name: getattr(self, name) for name in derived}}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWork:
    """Counted operations of one layer, per inference."""

    name: str
    work: Work


def total_work(layers: tuple[LayerWork, ...], *, steps: int) -> Work:
    """Sum the work of all layers."""
    parts = [layer.work for layer in layers]
    return Work(
        neurons=sum(part.neurons for part in parts),
        firing=sum(part.firing for part in parts),
        spikes=sum(part.spikes for part in parts),
        operations=sum(part.operations for part in parts),
        graded_operations=sum(part.graded_operations for part in parts),
        updates=sum(part.updates for part in parts),
        update_additions=sum(part.update_additions for part in parts),
        update_multiplications=sum(part.update_multiplications for part in parts),
        macs=sum(part.macs for part in parts),
        steps=steps,
    )
