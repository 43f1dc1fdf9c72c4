"""SpikingJelly: LIFNode in multi-step mode on torch, linear layers on time and batch at once."""

from importlib.metadata import version

import torch
from protocol import TorchPeer, serve
from spikingjelly.activation_based import functional, layer, neuron, surrogate


class Peer(TorchPeer):
    def build(self, layers, weights):
        built = []
        for name in layers:
            if name.startswith("fc"):
                built.append(layer.Flatten(step_mode="m"))
            built.append(self.linear(name, weights, modules=layer))
            if name != "pool":
                built.append(
                    neuron.LIFNode(
                        tau=10.0, decay_input=False, v_threshold=1.0, v_reset=0.0, surrogate_function=surrogate.ATan(),
                        detach_reset=True,
                    )
                )  # fmt: skip
        for each in built:
            functional.set_step_mode(each, "m")
        return built

    def net(self, x, seen=None):
        for each in self.layers:
            functional.reset_net(each)
            x = each(x)
            if seen is not None and isinstance(each, neuron.LIFNode):
                seen.append(x)
        return x

    def versions(self):
        return {"spikingjelly": version("spikingjelly"), "torch": torch.__version__}


serve(lambda folder, layers, weights: Peer(layers, weights))
