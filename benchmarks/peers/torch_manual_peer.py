"""Plain torch at its best: one matrix product (or convolution) per layer for all steps and samples, then the neurons.

The neurons work in place and only while nothing is to be differentiated: this one is timed in inference alone.
"""

from __future__ import annotations

import torch
from serving import Task
from torch import nn
from torch_serving import linears_of, main


class Neurons(nn.Module):
    """v = decay v + I; spike if v > threshold; then v = 0."""

    def __init__(self, decay: float, threshold: float) -> None:
        super().__init__()
        self.decay, self.threshold = decay, threshold

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        v = torch.zeros_like(current[0])
        for arrived in current:
            torch.add(arrived, v, alpha=self.decay, out=v)
            torch.gt(v, self.threshold, out=arrived)
            v.addcmul_(v, arrived, value=-1)
        return current


class Network(nn.Module):
    """Layer by layer, each over all steps."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.linears = linears_of(task)
        self.neurons = nn.ModuleList(Neurons(task.workload["decay"], task.workload["threshold"]) for _ in task.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for linear, neurons in zip(self.linears, self.neurons, strict=True):
            x = neurons(linear(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return x.sum(0)


if __name__ == "__main__":
    main(Network)
