"""sinabs: `LIF` with `SingleSpike` and `MembraneReset`, layer by layer over all steps; fires at v >= 1."""

from __future__ import annotations

import math

import torch
from serving import Task
from sinabs import layers
from sinabs.activation import MembraneReset, SingleSpike
from torch import nn
from torch_serving import linears_of, main


class Network(nn.Module):
    """Batch first, then time."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.linears = linears_of(task)
        self.neurons = nn.ModuleList(
            layers.LIF(
                tau_mem=-1 / math.log(task.workload["decay"]), spike_threshold=torch.tensor(task.workload["threshold"]),
                spike_fn=SingleSpike, reset_fn=MembraneReset(), norm_input=False,
            )
            for _ in task.layers
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(0, 1)
        for linear, neuron in zip(self.linears, self.neurons, strict=True):
            neuron.reset_states()
            x = neuron(linear(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return x.sum(1)


if __name__ == "__main__":
    main(Network, "sinabs")
