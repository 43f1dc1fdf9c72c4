"""snnTorch: `Leaky(reset_mechanism="zero")`, called step by step with the membrane passed in, as its tutorials do."""

from __future__ import annotations

import snntorch as snn
import torch
from serving import Task
from torch import nn
from torch_serving import linears_of, main


class Network(nn.Module):
    """Time outside, layers inside."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.linears = linears_of(task)
        decay, threshold = task.workload["decay"], task.workload["threshold"]
        self.neurons = nn.ModuleList(
            snn.Leaky(beta=decay, threshold=threshold, reset_mechanism="zero") for _ in task.layers
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        membranes = [neuron.reset_mem() for neuron in self.neurons]
        total = torch.zeros(())
        for spikes in x:
            for i, (linear, neuron) in enumerate(zip(self.linears, self.neurons, strict=True)):
                spikes, membranes[i] = neuron(linear(spikes), membranes[i])
            total = total + spikes
        return total


if __name__ == "__main__":
    main(Network, "snntorch")
