"""The networks that are timed: seeded float weights, scaled layer by layer until every layer fires at the stated rate.

    v = 0.9 v + I     spike if v > 1     then v = 0

without bias, one step from input to output within a time step. Input spikes are independent (Bernoulli). An average
pool of 2 comes before a layer that says so. Source of W1 and W2: `reference/performance.md` of the first measurements,
restated in docs/results/performance.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

DECAY, THRESHOLD = 0.9, 1.0
SEED = 2026
#: Halvings of the interval in which a layer's scale is looked for.
_HALVINGS = 24
#: So many neurons of a layer are looked at for it.
_NEURONS = 4096
#: Above this rate weights get a positive mean, of so many standard deviations: without one no scale reaches 50 %.
_OFTEN, _SHIFT = 0.3, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """One linear layer and its neurons.

    Attributes:
        name: unique.
        kind: "dense", or "conv" (3 x 3, padding 1).
        in_shape: of what the layer reads, before its pool.
        out_shape: of its neurons.
        pool: whether an average pool of 2 x 2 comes first.
    """

    name: str
    kind: Literal["dense", "conv"]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    pool: bool = False

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        """Of what the weights see."""
        return (self.in_shape[0], *(n // 2 for n in self.in_shape[1:])) if self.pool else self.in_shape

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Outputs first, as torch has it."""
        if self.kind == "conv":
            return (self.out_shape[0], self.in_shape[0], 3, 3)
        return (self.out_shape[0], math.prod(self.pooled_shape))

    @property
    def macs(self) -> int:
        """Multiplications of one step if every source counted, borders left out of account."""
        return math.prod(self.out_shape) * math.prod(self.weight_shape[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A network and its input.

    Attributes:
        name: unique.
        layers: in order; the first reads the input.
        input_rate: probability that an input fires in a step.
        rate: at which every layer is made to fire.
        steps: T.
        tolerance: by how much a layer's rate may differ between simulators.
    """

    name: str
    layers: tuple[LayerShape, ...]
    input_rate: float
    rate: float
    steps: int = 32
    tolerance: float = 0.01

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one step of one sample."""
        return self.layers[0].in_shape


def mlp(name: str, widths: Sequence[int], *, rate: float, steps: int = 32) -> Workload:
    """A multi-layer perceptron whose input and layers fire at one rate."""
    layers = tuple(
        LayerShape(name=f"fc{i}", kind="dense", in_shape=(widths[i - 1],), out_shape=(widths[i],))
        for i in range(1, len(widths))
    )
    return Workload(name=name, layers=layers, input_rate=rate, rate=rate, steps=steps)


def convnet(name: str, *, side: int = 32, channels: Sequence[int] = (64, 64, 128, 128, 256, 256)) -> Workload:
    """W2's form: pairs of convolutions with an average pool after each pair, then 512 and 10 neurons."""
    layers: list[LayerShape] = []
    shape: tuple[int, ...] = (3, side, side)
    for i, out in enumerate(channels):
        pool = i > 0 and i % 2 == 0
        size = shape[1] // 2 if pool else shape[1]
        layers.append(
            LayerShape(name=f"conv{i + 1}", kind="conv", in_shape=shape, out_shape=(out, size, size), pool=pool)
        )
        shape = layers[-1].out_shape
    layers.append(LayerShape(name="fc1", kind="dense", in_shape=shape, out_shape=(512,), pool=True))
    layers.append(LayerShape(name="fc2", kind="dense", in_shape=(512,), out_shape=(10,)))
    return Workload(name=name, layers=tuple(layers), input_rate=0.2, rate=0.075)


W1 = mlp("W1", (784, 512, 256, 10), rate=0.1)
W2 = convnet("W2")
WORKLOADS = {"W1": W1, "W2": W2}


def currents(layer: LayerShape, weight: Tensor, x: Tensor) -> Tensor:
    """Currents of a layer, x (T, samples, *in_shape) -> (T, samples, *out_shape)."""
    flat = x.flatten(0, 1)
    flat = functional.avg_pool2d(flat, 2) if layer.pool else flat
    if layer.kind == "conv":
        found = functional.conv2d(flat, weight, padding=1)
    else:
        found = functional.linear(flat.flatten(1), weight)
    return found.reshape(*x.shape[:2], *layer.out_shape)


def fire(current: Tensor) -> Tensor:
    """Spikes of neurons over all steps, (T, ...) -> (T, ...)."""
    v, spikes = torch.zeros_like(current[0]), torch.empty_like(current)
    for t, arrived in enumerate(current):
        v = DECAY * v + arrived
        spikes[t] = v > THRESHOLD
        v = v * (1 - spikes[t])
    return spikes


def draw_inputs(workload: Workload, samples: int, *, seed: int, steps: int | None = None) -> NDArray[np.uint8]:
    """Distinct seeded samples, (samples, T, *input shape)."""
    shape = (samples, steps or workload.steps, *workload.input_shape)
    return (np.random.default_rng(seed).random(shape, np.float32) < workload.input_rate).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """The weights of a workload.

    Attributes:
        arrays: layer name -> float32, outputs first.
        rates: layer name -> rate on the samples that the weights were scaled with.
        events: name of what a layer reads -> its spikes on some of these samples, uint8 (samples, T, *in_shape).
    """

    arrays: dict[str, NDArray[np.float32]]
    rates: dict[str, float]
    events: dict[str, NDArray[np.uint8]]


def make_weights(workload: Workload, *, samples: int, seed: int = SEED) -> Weights:
    """Normal weights, each layer scaled by bisection until it fires at the workload's rate.

    Args:
        workload: whose weights.
        samples: so many samples are looked at.
        seed: of weights and samples.
    """
    generator = np.random.default_rng(seed)
    x = torch.from_numpy(draw_inputs(workload, samples, seed=seed + 1)).float().transpose(0, 1)
    arrays: dict[str, NDArray[np.float32]] = {}
    rates: dict[str, float] = {}
    events: dict[str, NDArray[np.uint8]] = {}
    for layer in workload.layers:
        events[layer.name] = x.transpose(0, 1).to(torch.uint8).numpy()
        drawn = generator.standard_normal(layer.weight_shape, np.float32) + (_SHIFT if workload.rate > _OFTEN else 0)
        unit = torch.from_numpy(drawn)
        unit /= math.sqrt(math.prod(layer.weight_shape[1:]))
        current = currents(layer, unit, x)
        few = current.flatten(2)[..., generator.permutation(math.prod(layer.out_shape))[:_NEURONS]]
        low, high = 0.0, 1e3
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if float(fire(few * middle).mean()) < workload.rate else (low, middle)
        arrays[layer.name] = (unit * high).numpy()
        x = fire(current * high)
        rates[layer.name] = float(x.mean())
    return Weights(arrays=arrays, rates=rates, events=events)


def rates_of(workload: Workload, weights: Weights, spikes: NDArray[np.uint8]) -> dict[str, float]:
    """What every layer of the float network fires at, on these samples (samples, T, *input shape)."""
    x, rates = torch.from_numpy(spikes).float().transpose(0, 1), {}
    for layer in workload.layers:
        weight = torch.from_numpy(weights.arrays[layer.name])
        x = fire(currents(layer, weight, x))
        rates[layer.name] = float(x.mean())
    return rates


def save(workload: Workload, weights: Weights, folder: Path) -> None:
    """Write what the simulators read: weights.npz, events.npz and, last, workload.json."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "weights.npz", **weights.arrays)  # type: ignore[arg-type]
    np.savez_compressed(folder / "events.npz", **weights.events)  # type: ignore[arg-type]
    (folder / "workload.json").write_text(json.dumps(describe(workload, weights.rates), indent=1))


def describe(workload: Workload, rates: dict[str, float]) -> dict[str, Any]:
    """A workload as plain values."""
    layers = [
        {**asdict(layer), "pooled_shape": layer.pooled_shape, "weight_shape": layer.weight_shape, "macs": layer.macs}
        for layer in workload.layers
    ]
    return {
        **asdict(workload), "layers": layers, "input_shape": workload.input_shape, "decay": DECAY,
        "threshold": THRESHOLD, "rates": rates,
    }  # fmt: skip
