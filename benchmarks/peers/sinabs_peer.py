"""sinabs: LIF with a reset to zero and single spikes, linear layers on time and batch at once."""

import math
from importlib.metadata import version

import sinabs.layers as sl
import torch
from protocol import TorchPeer, serve
from sinabs.activation import MembraneReset, SingleSpike


class Peer(TorchPeer):
    def build(self, layers, weights):
        built = []
        for name in layers:
            built.append(self.linear(name, weights))
            built[-1].flattens = name.startswith("fc")
            if name != "pool":
                built.append(
                    sl.LIF(
                        tau_mem=-1 / math.log(0.9), spike_threshold=1.0, norm_input=False, spike_fn=SingleSpike,
                        reset_fn=MembraneReset(),
                    )
                )  # fmt: skip
        return built

    def net(self, x, seen=None):
        x = x.transpose(0, 1)  # sinabs has the batch first
        for each in self.layers:
            if isinstance(each, sl.LIF):
                each.reset_states()
                x = each(x)
                if seen is not None:
                    seen.append(x)
            else:
                flat = x.flatten(0, 1)
                x = each(flat.flatten(1) if each.flattens else flat).unflatten(0, x.shape[:2])
        return x.transpose(0, 1)

    def versions(self):
        return {"sinabs": version("sinabs"), "torch": torch.__version__}


serve(lambda folder, layers, weights: Peer(layers, weights))
