"""neuroprivacy: the fixedpoint backend's `run` on the Program of the workload, and SpikingNet's layers for training."""

import os

import numpy as np
import torch
from protocol import TorchPeer, serve

from neuroprivacy.backend import Artifact, Record, check_inputs, load_backend, run
from neuroprivacy.nets.neuron import SpikingNeuron
from neuroprivacy.nets.surrogate import Surrogate
from neuroprivacy.program import load_program
from neuroprivacy.reference import run_reference
from neuroprivacy.verify import compare


class Training(TorchPeer):
    """What SpikingNet does between its input and its spike count."""

    def build(self, layers, weights):
        built = []
        for name in layers:
            built.append(self.linear(name, weights))
            built[-1].flattens = name.startswith("fc")
            if name != "pool":
                built.append(SpikingNeuron(beta=0.9, reset="hard", surrogate=Surrogate(name="atan")))
        return built

    def net(self, x, seen=None):
        for layer in self.layers:
            if isinstance(layer, SpikingNeuron):
                x = layer(x)
            else:
                flat = x.flatten(0, 1)
                x = layer(flat.flatten(1) if layer.flattens else flat).unflatten(0, x.shape[:2])
        return x


class Ours:
    def __init__(self, folder, layers, weights):
        self.program = load_program(folder / "program")
        self.artifact = Artifact(backend="fixedpoint", folder=folder / "program", program=self.program)
        self.training = Training(layers, weights)
        self.size = self.program.inputs[0].size

    def take(self, inputs):
        return inputs

    def run(self, inputs):
        run(self.artifact, spikes=inputs)

    def rates(self, inputs):
        """Of all steps but the latency; and every integer against the reference."""
        checked = check_inputs(self.program, inputs[:1, :8])
        record = Record(spikes=True, final=True)
        got = load_backend("fixedpoint").run(self.artifact, checked, record)
        differing = compare(run_reference(self.program, checked, record=record), got)
        if differing:
            raise AssertionError(str(differing[0]))
        result = run(self.artifact, spikes=inputs, record=Record(spikes=True))
        steps = inputs.shape[1]
        return [
            result.layer_spikes[layer.name][:, i + 1 : i + 1 + steps].mean()
            for i, layer in enumerate(self.program.layers)
        ]

    def take_training(self, inputs):
        return self.training.take(inputs)

    def train(self, x, labels):
        self.training.train(x, labels)

    def versions(self):
        import numba

        import neuroprivacy

        return {
            "neuroprivacy": neuroprivacy.__version__, "numba": numba.__version__, "numpy": np.__version__,
            "torch": torch.__version__, "threads": os.environ["OMP_NUM_THREADS"],
        }  # fmt: skip


serve(Ours)
