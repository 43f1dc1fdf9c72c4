"""Norse: LIFBoxCell, one step at a time. Its input gain of 0.1 is undone by the weights."""

from importlib.metadata import version

import norse.torch as norse
import torch
from protocol import TorchPeer, serve


class Neuron(torch.nn.Module):
    spikes = True

    def __init__(self):
        super().__init__()
        one = torch.ones(())
        self.cell = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=one * 100, v_th=one, v_leak=one * 0), dt=1e-3)

    def begin(self):
        self.state = None

    def forward(self, x):
        out, self.state = self.cell(x, self.state)
        return out


class Peer(TorchPeer):
    def build(self, layers, weights):
        built = []
        for name in layers:
            built.append(self.linear(name, weights, gain=10.0))
            built[-1].flattens = name.startswith("fc")
            if name != "pool":
                built.append(Neuron())
        return built

    def net(self, x, seen=None):
        return self.net_by_steps(x, seen)

    def versions(self):
        return {"norse": version("norse"), "torch": torch.__version__}


serve(lambda folder, layers, weights: Peer(layers, weights))
