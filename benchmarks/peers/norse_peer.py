"""Norse: `LIFBoxCell`, step by step; its input enters with gain dt/tau = 0.1, which the weights make up for."""

from __future__ import annotations

import torch
from norse.torch import LIFBoxCell, LIFBoxParameters
from serving import Task
from torch import nn
from torch_serving import linears_of, main

_DT_S = 1e-3


class Network(nn.Module):
    """Time outside, layers inside."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        share = 1 - task.workload["decay"]
        self.linears = linears_of(task, gain=1 / share)
        parameters = LIFBoxParameters(
            tau_mem_inv=torch.tensor(share / _DT_S), v_th=torch.tensor(task.workload["threshold"])
        )
        self.neurons = nn.ModuleList(LIFBoxCell(parameters, dt=_DT_S) for _ in task.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = [None] * len(self.neurons)
        total = torch.zeros(())
        for spikes in x:
            for i, (linear, neuron) in enumerate(zip(self.linears, self.neurons, strict=True)):
                spikes, states[i] = neuron(linear(spikes), states[i])
            total = total + spikes
        return total


if __name__ == "__main__":
    main(Network, "norse")
