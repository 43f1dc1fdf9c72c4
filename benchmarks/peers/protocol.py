"""What a peer's process answers: one JSON line per request, read from stdin, until stdin ends.

    {"do": "load", "folder": F, "threads": N}      -> {"versions": {...}}
    {"do": "run", "first": I, "batch": B}          -> {"seconds": S}     samples I ... I + B - 1 of the pool
    {"do": "rates"}                                -> {"rates": [...]}   firing rate of every layer, on two samples
    {"do": "train", "batch": B, "steps": T}        -> {"seconds": S}     one forward and backward
    {"do": "memory"}                               -> {"bytes": M}       largest resident size so far

A request that fails is answered with {"error": text}.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np


def serve(make):
    """Answer requests; `make(folder, layers, weights)` gives an object with `run`, and perhaps `train` and `rates`."""
    peer = inputs = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                folder = Path(request["folder"])
                with np.load(folder / "weights.npz") as file:
                    weights = [file[name] for name in file.files]
                inputs = np.load(folder / "inputs.npy")
                peer = make(folder, (folder / "layers.txt").read_text().split("\n"), weights)
                answer = {"versions": peer.versions()}
            elif request["do"] == "run":
                chosen = peer.take(
                    inputs[np.arange(request["first"], request["first"] + request["batch"]) % len(inputs)]
                )
                begun = time.perf_counter()
                peer.run(chosen)
                answer = {"seconds": time.perf_counter() - begun}
            elif request["do"] == "rates":
                answer = {"rates": [float(rate) for rate in peer.rates(peer.take(inputs[:2]))]}
            elif request["do"] == "train":
                take = getattr(peer, "take_training", peer.take)
                chosen = take(inputs[np.arange(request["batch"]) % len(inputs), : request["steps"]])
                labels = np.arange(request["batch"]) % 10
                begun = time.perf_counter()
                peer.train(chosen, labels)
                answer = {"seconds": time.perf_counter() - begun}
            else:
                answer = {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        except Exception as error:  # the other side decides what it means
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    os._exit(0)


class TorchPeer:
    """What the peers on torch have in common: `net(x)` with x (T, B, ...) gives output spikes (T, B, 10)."""

    def __init__(self, layers, weights):
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.torch = torch
        self.layers = self.build(layers, iter(torch.from_numpy(weight) for weight in weights))

    def take(self, inputs):
        """Samples as the network takes them."""
        return self.torch.from_numpy(inputs).float().transpose(0, 1).contiguous()

    def run(self, x):
        with self.torch.no_grad():
            self.net(x)

    def rates(self, x):
        seen = []
        with self.torch.no_grad():
            self.net(x, seen=seen)
        return [spikes.float().mean() for spikes in seen]

    def train(self, x, labels):
        out = self.net(x).sum(0)
        loss = self.torch.nn.functional.cross_entropy(out, self.torch.from_numpy(labels))
        for parameter in self.parameters():
            parameter.grad = None
        loss.backward()

    def parameters(self):
        return [p for layer in self.layers if isinstance(layer, self.torch.nn.Module) for p in layer.parameters()]

    def linear(self, layer, weights, gain=1.0, modules=None):
        """A torch layer with the workload's weights."""
        modules = modules or self.torch.nn
        if layer == "pool":
            return modules.AvgPool2d(2)
        kind, n_in, n_out = layer.split()
        if kind == "conv":
            made = modules.Conv2d(int(n_in), int(n_out), 3, padding=1, bias=False)
        else:
            made = modules.Linear(int(n_in), int(n_out), bias=False)
        made.weight.data = next(weights) * gain
        return made

    def net_by_steps(self, x, seen=None):
        """Layers with `reset()` and one step at a time."""
        outputs, kept = [], {}
        for layer in self.layers:
            if hasattr(layer, "begin"):
                layer.begin()
        for step in x:
            for i, layer in enumerate(self.layers):
                if getattr(layer, "flattens", False):
                    step = step.flatten(1)
                step = layer(step)
                if seen is not None and getattr(layer, "spikes", False):
                    kept.setdefault(i, []).append(step)
            outputs.append(step)
        if seen is not None:
            seen += [self.torch.stack(each) for each in kept.values()]
        return self.torch.stack(outputs)
