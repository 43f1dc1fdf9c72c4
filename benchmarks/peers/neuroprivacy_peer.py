"""This library: a Program on the fixed-point backend, or a SpikingNetwork in training.

`options`: `program` (the folder of a saved Program), and `entry`: "run" times `neuroprivacy.run`, which checks its
input; "backend" times `Backend.run` alone on input that was checked before. The plan of a Program is made in the first
call and kept by the backend.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from serving import Simulator, Task, serve


class Inference(Simulator):
    """A Program on the fixed-point backend."""

    packages = ("neuroprivacy", "numba", "numpy")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        from neuroprivacy.program import load_program
        from neuroprivacy.runtime.backend import Record, build, load_backend, run

        self.run, self.record = run, Record()
        self.program = load_program(Path(task.options["program"]))
        self.scratch = tempfile.TemporaryDirectory(prefix="neuroprivacy-bench-")
        self.artifact = build(self.program, backend="fixedpoint", folder=Path(self.scratch.name))
        self.backend = load_backend("fixedpoint")
        self.checked = task.options.get("entry") == "backend"

    def convert(self, spikes: np.ndarray, labels: np.ndarray) -> Any:
        from neuroprivacy.runtime.backend import check_inputs

        return check_inputs(self.program, spikes) if self.checked else spikes

    def call(self, batch: Any) -> object:
        if self.checked:
            return self.backend.run(self.artifact, batch, self.record)
        return self.run(self.artifact, spikes=batch)

    def rates(self, spikes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Spikes by the counts of the run, over the steps of the input."""
        from neuroprivacy.runtime.backend import run

        counts = run(self.artifact, spikes=spikes).counts
        return {
            layer.name: float(counts.layers[layer.name].spikes.sum()) / (len(spikes) * self.task.steps * layer.size)
            for layer in self.program.layers
        }

    def exact(self, request: dict[str, Any]) -> dict[str, Any]:
        """Compare every integer of a few samples and steps with the reference."""
        from neuroprivacy.runtime.backend import Record, check_inputs, run
        from neuroprivacy.runtime.reference import run_reference

        spikes = self.task.spikes[: request["samples"], : request["steps"]]
        record = Record(spikes=True, final=True)
        ours = run(self.artifact, spikes=spikes, record=record)
        theirs = run_reference(self.program, check_inputs(self.program, spikes), record=record)
        pairs = [(ours.readout, theirs.readout)]
        for field in ("layer_spikes", "final_u", "final_v"):
            one, other = getattr(ours, field), getattr(theirs, field)
            pairs += [(one[name], other[name]) for name in other]
        equal = all(np.array_equal(a, b) for a, b in pairs) and ours.counts.totals() == theirs.counts.totals()
        fired = sum(int(array.sum()) for array in theirs.layer_spikes.values())
        return {"equal": equal, "samples": len(spikes), "steps": spikes.shape[1], "spikes": fired}

    def parts(self, request: dict[str, Any]) -> dict[str, Any]:
        """Median seconds of a call of one sample and of what it consists of, each part with all within it.

        The calls of all parts take turns. "silent" computes a sample without events: what is left is lists that stay
        empty, neurons, and calls between steps.
        """
        from neuroprivacy.runtime.backend import Record, inputs_as_given, run
        from neuroprivacy_fixedpoint.batch import Batch
        from neuroprivacy_fixedpoint.engine import run_program
        from neuroprivacy_fixedpoint.plan import plan_of

        program, backend, record = self.artifact.program, self.backend, Record()
        given = [self.task.spikes[i : i + 1] for i in range(len(self.task.spikes))]
        checked = [inputs_as_given(program, spikes) for spikes in given]
        nothing = inputs_as_given(program, np.zeros_like(given[0]))
        steps = self.task.steps + program.latency
        batch = Batch(plan_of(program, steps), 1, steps, 1)

        def filled(inputs: Any) -> None:
            batch.load(inputs, slice(0, 1), 0, steps)

        def computed(inputs: Any) -> None:
            filled(inputs)
            batch.compute(steps, lambda calls: None)

        calls = {
            "run": lambda i: run(self.artifact, spikes=given[i]),
            "backend": lambda i: backend.run(self.artifact, checked[i], record),
            "engine": lambda i: run_program(program, checked[i], record),
            "computed": lambda i: computed(checked[i]),
            "silent": lambda i: computed(nothing),
            "filled": lambda i: filled(checked[i]),
        }
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(request["calls"]):
            for name, call in calls.items():
                begun = time.perf_counter()
                call(turn % len(given))
                seconds[name].append(time.perf_counter() - begun)
        return {"parts": {name: float(np.median(each)) for name, each in seconds.items()}}


def _training(task: Task) -> Simulator:
    """SpikingNetwork's own forward over the layers of the workload."""
    from torch import nn
    from torch_serving import TorchSimulator, linears_of

    from neuroprivacy.networks import SpikingNeuron, SpikingSpec, sequential_network

    class Network(nn.Module):
        def __init__(self, task: Task) -> None:
            super().__init__()
            beta = task.workload["decay"]
            modules: dict[str, nn.Module] = {}
            for layer, linear in zip(task.layers, linears_of(task), strict=True):
                for i, module in enumerate(linear):
                    modules[f"{layer['name']}_{i}"] = module
                modules[f"{layer['name']}_neurons"] = SpikingNeuron(beta=beta, reset="hard")
            spec = SpikingSpec(beta=beta, coding="poisson", time_steps=task.steps, readout="spike_count")
            self.net = sequential_network(spec, modules, input_shape=tuple(task.layers[0]["in_shape"]))
            self.neurons = list(self.net.neurons().values())

        def forward(self, x: Any) -> Any:
            return self.net(x).readout

    class Training(TorchSimulator):
        network = Network

    return Training(task)


class Either(Simulator):
    """Inference or training, as asked for."""

    packages = (*Inference.packages, "torch")

    def __new__(cls, task: Task) -> Any:
        return _training(task) if task.training else Inference(task)


if __name__ == "__main__":
    serve(Either)
