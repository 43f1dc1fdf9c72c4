"""The two workloads: their layers, seeded weights that give the stated firing rates, and distinct inputs.

W1: 784-512-256-10, T = 32. W2: 3x32x32, conv 64-64, average pool, conv 128-128, average pool, conv 256-256, average
pool, fc 512, fc 10 (3x3, padding 1, no bias), T = 32. Everywhere v = 0.9 v + I, spike if v > 1, reset to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, LinearMap, Port, Program
from neuroprivacy.target import load_target

BETA = 0.9
STEPS = 32


@dataclass(frozen=True)
class Workload:
    """A network.

    Attributes:
        name: W1 or W2.
        shape: of one step of input.
        layers: "fc IN OUT", "conv IN OUT" or "pool", neurons after each but pools.
        input_rate: of the input spikes; `rate` of every layer.
        pool_samples: how many distinct samples there are.
    """

    name: str
    shape: tuple[int, ...]
    layers: tuple[str, ...]
    input_rate: float
    rate: float
    pool_samples: int

    def inputs(self, count: int, steps: int = STEPS, seed: int = 1) -> np.ndarray:
        """Distinct samples, uint8 (count, steps, *shape)."""
        rng = np.random.default_rng(seed)
        return (rng.random((count, steps, *self.shape), np.float32) < self.input_rate).astype(np.uint8)


WORKLOADS = {
    "W1": Workload("W1", (784,), ("fc 784 512", "fc 512 256", "fc 256 10"), 0.10, 0.10, 256),
    "W2": Workload(
        "W2", (3, 32, 32),
        ("conv 3 64", "conv 64 64", "pool", "conv 64 128", "conv 128 128", "pool", "conv 128 256", "conv 256 256",
         "pool", "fc 4096 512", "fc 512 10"),
        0.20, 0.075, 32,
    ),
}  # fmt: skip


def make_weights(workload: Workload, *, seed: int = 0, rate: float | None = None) -> list[np.ndarray]:
    """One float32 array per layer with neurons, scaled by bisection so that each layer fires at the wanted rate."""
    rng = np.random.default_rng(seed)
    wanted = workload.rate if rate is None else rate
    x = torch.from_numpy(workload.inputs(4 if workload.name == "W1" else 1, 16, seed=99)).float().transpose(0, 1)
    weights = []
    for layer in workload.layers:
        if layer == "pool":
            x = apply(layer, None, x)
            continue
        kind, n_in, n_out = layer.split()
        shape = (int(n_out), int(n_in), 3, 3) if kind == "conv" else (int(n_out), int(n_in))
        # A positive mean, so that rates do not depend on chance alone.
        weight = torch.from_numpy(rng.normal(0.1, 1.0, shape).astype(np.float32))
        current = apply(layer, weight, x)
        low, high = 1e-5, 10.0
        for _ in range(24):
            scale = float(np.sqrt(low * high))
            rate_now = float(fire(current * scale).mean())
            low, high = (scale, high) if rate_now < wanted else (low, scale)
        weights.append((weight * high).numpy())
        x = fire(current * high)
    return weights


def apply(layer: str, weight: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """The linear part of a layer, on time and batch at once: x (T, B, ...)."""
    flat = x.flatten(0, 1)
    if layer == "pool":
        done = functional.avg_pool2d(flat, 2)
    elif layer.startswith("conv"):
        done = functional.conv2d(flat, weight, padding=1)
    else:
        done = flat.flatten(1) @ weight.T
    return done.unflatten(0, x.shape[:2])


def fire(current: torch.Tensor) -> torch.Tensor:
    """The neurons: spikes for a current (T, B, ...)."""
    v = torch.zeros_like(current[0])
    spikes = torch.empty_like(current)
    for t in range(len(current)):
        v = BETA * v + current[t]
        spikes[t] = v > 1
        v = v * (1 - spikes[t])
    return spikes


def program_of(workload: Workload, weights: list[np.ndarray]) -> Program:
    """The same network in the integers of loihi2: weights of 8 bits, a threshold per layer."""
    layers: list[Layer] = []
    source, shape, pooled, left = "input", workload.shape, False, iter(weights)
    for layer in workload.layers:
        if layer == "pool":
            pooled = True
            continue
        weight = next(left)
        unit = float(np.abs(weight).max()) / 127
        whole = np.rint(weight / unit).astype(np.int64)
        pool = (2, 2) if pooled else (1, 1)
        linear: LinearMap
        if layer.startswith("conv") or pooled:
            kernel = whole if whole.ndim == 4 else whole.reshape(len(whole), shape[0], shape[1] // 2, shape[2] // 2)
            padding = (1, 1) if whole.ndim == 4 else (0, 0)
            linear = ConvMap(weight=kernel, in_shape=shape, padding=padding, pool=pool, pool_stride=pool)
        else:
            linear = DenseMap(weight=whole)
        shape, size = linear.out_shape, int(np.prod(linear.out_shape))
        layers.append(
            Layer(
                name=f"layer{len(layers)}", shape=shape, edges=(Edge(source=source, map=linear, delay=1),),
                threshold=np.array([int((4 if pooled else 1) / unit)]), du=np.array([4095]),
                dv=np.array([round((1 - BETA) * 4096)]), bias_mantissa=np.zeros(size, np.int64), bias_exponent=0,
                v_init=np.zeros(size, np.int64), reset="hard",
            )
        )  # fmt: skip
        source, pooled = layers[-1].name, False
    return Program(
        target=load_target("loihi2"), inputs=(Port(name="input", shape=workload.shape),), layers=tuple(layers),
        outputs=(layers[-1].name,), readout="spike_count", latency=len(layers),
    )  # fmt: skip


def write(folder: Path, workload: Workload) -> None:
    """Weights and inputs as every peer reads them: weights.npz and inputs.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "weights.npz", *make_weights(workload))
    np.save(folder / "inputs.npy", workload.inputs(workload.pool_samples))
    (folder / "layers.txt").write_text("\n".join(workload.layers))
