"""snnTorch: Leaky with the reset in the same step, one step at a time, as its documentation does."""

from importlib.metadata import version

import snntorch as snn
import torch
from protocol import TorchPeer, serve
from snntorch import surrogate


class Neuron(torch.nn.Module):
    spikes = True

    def __init__(self):
        super().__init__()
        self.leaky = snn.Leaky(
            beta=0.9, threshold=1.0, reset_mechanism="zero", reset_delay=False, spike_grad=surrogate.atan()
        )

    def begin(self):
        self.v = self.leaky.init_leaky()

    def forward(self, x):
        out, self.v = self.leaky(x, self.v)
        return out


class Peer(TorchPeer):
    def build(self, layers, weights):
        built = []
        for name in layers:
            built.append(self.linear(name, weights))
            built[-1].flattens = name.startswith("fc")
            if name != "pool":
                built.append(Neuron())
        return built

    def net(self, x, seen=None):
        return self.net_by_steps(x, seen)

    def versions(self):
        return {"snntorch": version("snntorch"), "torch": torch.__version__}


serve(lambda folder, layers, weights: Peer(layers, weights))
