"""What the scripts of torch simulators share: layers from the files, the timed call, the counting of rates.

A script gives `Network`, a module with the attribute `neurons` (one module per layer) whose `forward` takes the input
(T, batch, *shape) and returns the spikes of the last layer summed over time, (batch, outputs).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from serving import Simulator, Task, serve
from torch import nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile


def linear_of(layer: dict[str, Any], weight: np.ndarray, *, gain: float = 1.0) -> nn.Sequential:
    """Pool, convolution or flattened linear layer."""
    modules: list[nn.Module] = [nn.AvgPool2d(2)] if layer["pool"] else []
    if layer["kind"] == "conv":
        made: nn.Module = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
    else:
        if len(layer["in_shape"]) > 1:
            modules.append(nn.Flatten())
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(weight) * gain)
    return nn.Sequential(*modules, made)


def linears_of(task: Task, *, gain: float = 1.0) -> nn.ModuleList:
    """All of them."""
    return nn.ModuleList(linear_of(layer, task.weights[layer["name"]], gain=gain) for layer in task.layers)


class TorchSimulator(Simulator):
    """A torch network, timed in inference or in forward and backward."""

    network: type[nn.Module]

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        torch.set_num_threads(task.threads)
        torch.manual_seed(0)
        self.net = self.network(task)

    def convert(self, spikes: np.ndarray, labels: np.ndarray) -> Any:
        """Time first, float32."""
        x = torch.from_numpy(spikes).float().transpose(0, 1).contiguous()
        return x, torch.from_numpy(labels)

    def call(self, batch: Any) -> object:
        """Forward; or forward and backward of cross-entropy on the summed spikes."""
        x, labels = batch
        if not self.task.training:
            with torch.inference_mode():
                return self.net(x)
        self.net.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(self.net(x), labels)
        loss.backward()
        return loss

    def rates(self, spikes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """What the neurons put out, seen by hooks."""
        seen: dict[int, list[float]] = {i: [] for i in range(len(self.task.layers))}

        def hook(i: int) -> Any:
            def see(module: nn.Module, given: Any, out: Any) -> None:
                seen[i].append(float((out[0] if isinstance(out, tuple) else out).mean()))

            return see

        handles = [m.register_forward_hook(hook(i)) for i, m in enumerate(self.net.neurons)]
        try:
            with torch.inference_mode():
                self.net(self.convert(spikes, labels)[0])
        finally:
            for handle in handles:
                handle.remove()
        return {layer["name"]: float(np.mean(seen[i])) for i, layer in enumerate(self.task.layers)}

    def tensors(self, request: dict[str, Any]) -> dict[str, Any]:
        """The most bytes that tensors made in one call hold at a time, as torch's allocator tells its profiler."""
        batch = self.convert(*self.task.take(0))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            self.call(batch)
        assert seen.profiler is not None
        events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
        held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
        return {"tensor_bytes": int(held.max(initial=0))}


def main(network: type[nn.Module], *packages: str) -> None:
    """Serve a network."""
    serve(type("Served", (TorchSimulator,), {"network": network, "packages": ("torch", *packages)}))
