"""SpikingJelly: multi-step layers and `LIFNode(step_mode="m")`, in 2.0 plain torch on a CPU; fires at v >= 1."""

from __future__ import annotations

import torch
from serving import Task
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn
from torch_serving import linears_of, main


class Network(nn.Module):
    """Layer by layer, each over all steps."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.linears = nn.ModuleList(layer.SeqToANNContainer(*linear) for linear in linears_of(task))
        self.neurons = nn.ModuleList(
            neuron.LIFNode(
                tau=1 / (1 - task.workload["decay"]), decay_input=False, v_threshold=task.workload["threshold"],
                v_reset=0.0, step_mode="m",
            )
            for _ in task.layers
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self)
        for linear, spiking in zip(self.linears, self.neurons, strict=True):
            x = spiking(linear(x))
        return x.sum(0)


if __name__ == "__main__":
    main(Network, "spikingjelly")
