"""Nengo: an ensemble per layer with a neuron type of the same equation, joined neuron to neuron without synapse.

Built once. The simulator is reset between samples, outside the time that is taken. One sample at a time, one process.
"""

from __future__ import annotations

from typing import Any, ClassVar

import nengo
import numpy as np
from nengo.dists import Choice
from nengo.neurons import NeuronType
from nengo.params import NumberParam
from serving import Simulator, Task, serve

_DT_S = 1e-3


class Leaky(NeuronType):
    """v = decay v + J; spike if v > 1; then v = 0. A spike is 1, not 1/dt."""

    state: ClassVar = {"voltage": Choice([0.0])}
    spiking = True
    decay = NumberParam("decay")

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay

    def max_rates_intercepts(self, gain: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Asked for by the builder and used for nothing here: gains are 1 and biases 0."""
        return np.ones_like(gain), np.zeros_like(bias)

    def step(self, dt: float, J: np.ndarray, output: np.ndarray, voltage: np.ndarray) -> None:
        voltage *= self.decay
        voltage += J
        output[...] = voltage > 1
        voltage[output > 0] = 0


class Nengo(Simulator):
    """The network as a nengo.Simulator."""

    packages = ("nengo", "numpy")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if task.batch != 1:
            raise ValueError("Nengo computes one sample at a time")
        self.sample = np.zeros((task.steps, task.spikes.shape[2]))
        self.probes: dict[str, Any] = {}
        self._simulator(task, probed=False)

    def _simulator(self, task: Task, *, probed: bool) -> nengo.Simulator:
        """Build it; with probes of every layer, or with one of the last."""
        with nengo.Network(seed=0) as model:
            before: Any = nengo.Node(lambda t: self.sample[round(t / _DT_S) - 1], size_in=0)
            for layer in task.layers:
                size = layer["out_shape"][0]
                ensemble = nengo.Ensemble(
                    size, 1, neuron_type=Leaky(task.workload["decay"]), gain=np.ones(size), bias=np.zeros(size)
                )
                nengo.Connection(before, ensemble.neurons, transform=task.weights[layer["name"]], synapse=None)
                before = ensemble.neurons
                if probed or layer is task.layers[-1]:
                    self.probes[layer["name"]] = nengo.Probe(before, synapse=None)
        self.simulator = nengo.Simulator(model, dt=_DT_S, progress_bar=False)
        return self.simulator

    def convert(self, spikes: np.ndarray, labels: np.ndarray) -> Any:
        self.simulator.reset()
        self.sample = spikes[0].reshape(self.task.steps, -1).astype(float)
        return None

    def call(self, batch: Any) -> object:
        self.simulator.run_steps(self.task.steps)
        return None

    def rates(self, spikes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        with self._simulator(self.task, probed=True) as simulator:
            seen = {layer["name"]: [] for layer in self.task.layers}
            for sample in spikes:
                self.convert(sample[None], labels)
                simulator.run_steps(self.task.steps)
                for name, values in seen.items():
                    values.append(float(simulator.data[self.probes[name]].mean()))
        self._simulator(self.task, probed=False)
        return {name: float(np.mean(values)) for name, values in seen.items()}


if __name__ == "__main__":
    serve(Nengo)
