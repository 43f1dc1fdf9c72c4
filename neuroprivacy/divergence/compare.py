"""Two runs on the same input: the first divergence, its causes, and a table of all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.divergence.cause import find_causes
from neuroprivacy.divergence.runs import Run, TorchRun, run_named
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.lowering import Lowered
from neuroprivacy.lowering.quantization.round_weights import weight_grid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Divergence:
    """The first place where two runs differ; earliest in time, then nearest to the input.

    Attributes:
        sample: which one, from 0.
        step: of the input, from 0; the chip computes it `latency` time steps later.
        layer: its name.
        neuron: its index, in C order.
        quantity: the first that differs: "spikes", "u" or "v".
        values: of both runs.
        causes: in the order of `cause.CAUSES`.
        spikes: the neuron's spikes of both runs, each (steps,).
        membranes: the neuron's membrane after each time step of both runs, (steps,), in units of the graph; None if
            unknown.
        threshold: of the neuron, in units of the graph.
    """

    sample: int
    step: int
    layer: str
    neuron: int
    quantity: str
    values: tuple[float, float]
    causes: tuple[str, ...]
    spikes: tuple[Float64, Float64]
    membranes: tuple[Float64 | None, Float64 | None]
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDivergence:
    """The differences of one layer's two runs.

    Attributes:
        layer: its name.
        rates: spikes per neuron and step of both runs.
        differing: share of all (sample, step, neuron) whose spike differs.
        rate_error: mean over neurons of the difference between their rates.
        use: largest observed |a|, |u| and |v| as a share of their declared widths; None if no run knows.
        wraps: of the current, observed; None likewise. `saturations` of the membrane.
        clipped: weights beyond the end of the integer range.
        weights: number of weights.
    """

    layer: str
    rates: tuple[float, float]
    differing: float
    rate_error: float
    use: tuple[float, float, float] | None
    wraps: int | None
    saturations: int | None
    clipped: int
    weights: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DivergenceReport:
    """Where two runs of a network first differ, by how much, and why; the result of `trace`."""

    between: tuple[str, str]
    target: str
    samples: int
    steps: int
    first: Divergence | None
    layers: tuple[LayerDivergence, ...]

    @property
    def identical(self) -> bool:
        """Whether the runs agree in every quantity that both recorded."""
        return self.first is None

    def sentence(self) -> str:
        """The result in one sentence."""
        one, other = self.between
        where = f"{self.samples} samples of {self.steps} steps on {self.target}"
        if self.first is None:
            return f"{one} and {other} agree in every known quantity: {where}."
        at = self.first
        values = " and ".join(f"{value:g}" for value in at.values)
        return (
            f"{one} and {other} diverge at input step {at.step}, layer {at.layer}, neuron {at.neuron} "
            f"(sample {at.sample}): {at.quantity} {values}; {' or '.join(at.causes)}."
        )

    def describe(self) -> dict[str, Any]:
        """The report as values that JSON can hold."""
        first = None
        if self.first is not None:
            first = {
                **{f.name: getattr(self.first, f.name) for f in fields(self.first)},
                "spikes": [array.astype(int).tolist() for array in self.first.spikes],
                "membranes": [None if m is None else m.tolist() for m in self.first.membranes],
            }
            for name in ("values", "causes"):
                first[name] = list(first[name])
        layers = [{f.name: getattr(layer, f.name) for f in fields(layer)} for layer in self.layers]
        return {
            "between": list(self.between), "target": self.target, "samples": self.samples, "steps": self.steps,
            "identical": self.identical, "sentence": self.sentence(), "first": first, "layers": layers,
        }  # fmt: skip


def trace(
    lowered: Lowered,
    *,
    between: tuple[str, str],
    inputs: Mapping[str, Int64],
    torch_run: TorchRun | None = None,
) -> DivergenceReport:
    """Compare two runs of a network, neuron by neuron and step by step.

    Args:
        lowered: the network, as `lower` gave it.
        between: two of `float`, `torch`, `reference` and the backends' names.
        inputs: port name -> int64 (samples, steps, values), as `check_inputs` returns them.
        torch_run: the torch network that the graph was made of, for `torch`.

    Raises:
        ConfigurationError: a run does not exist, or both are the same.
    """
    if between[0] == between[1]:
        raise ConfigurationError(f"trace: {between[0]} is compared with itself; name two different runs")
    left, right = (run_named(name, lowered, inputs, torch_run=torch_run) for name in between)
    samples, steps = next(iter(inputs.values())).shape[:2]
    return DivergenceReport(
        between=between,
        target=lowered.program.target.name,
        samples=samples,
        steps=steps,
        first=_first(lowered, inputs, left, right),
        layers=tuple(_layer(lowered, layer.name, left, right) for layer in lowered.program.layers),
    )


def _first(lowered: Lowered, inputs: Mapping[str, Int64], left: Run, right: Run) -> Divergence | None:
    """The earliest difference; between two runs of integers their states count, too."""
    exact = left.result is not None and right.result is not None
    found: list[tuple[int, int, int, int, int, str]] = []
    for rank, layer in enumerate(lowered.program.layers):
        if layer.name not in left.spikes or layer.name not in right.spikes:
            continue
        quantities = [("spikes", left.spikes[layer.name], right.spikes[layer.name])]
        for name in ("u", "v") if exact else ():  # a membrane in floats is never that of the integers
            pair = getattr(left, name), getattr(right, name)
            if pair[0] is not None and pair[1] is not None:
                quantities.append((name, pair[0][layer.name], pair[1][layer.name]))
        for turn, (quantity, one, other) in enumerate(quantities):
            unequal = np.argwhere(one != other)
            if len(unequal):
                sample, step, neuron = (
                    int(n) for n in unequal[np.lexsort((unequal[:, 2], unequal[:, 0], unequal[:, 1]))][0]
                )
                found.append((step, rank, (2, 0, 1)[turn] if exact else 0, sample, neuron, quantity))
    if not found:
        return None
    step, rank, _, sample, neuron, quantity = min(found)
    layer = lowered.program.layers[rank]
    place = (sample, step, neuron)

    def value(run: Run) -> float:
        """Value of a quantity where the runs first differ."""
        arrays: Mapping[str, NDArray[Any]] | None = getattr(run, quantity)
        return float(arrays[layer.name][place]) if arrays is not None else float("nan")

    def membrane(run: Run) -> Float64 | None:
        """The membrane of the neuron over all steps."""
        return None if run.v is None else np.asarray(run.v[layer.name][sample, :, neuron], np.float64)

    real = lowered.real_network.layer(layer.name)
    scale = real.state_scale[neuron] if real.state_scale.size > 1 else real.state_scale[0]
    return Divergence(
        sample=sample, step=step, layer=layer.name, neuron=neuron, quantity=quantity,
        values=(value(left), value(right)),
        causes=_causes(lowered, inputs, left, right, place, layer.name, quantity),
        spikes=(
            np.asarray(left.spikes[layer.name][sample, :, neuron], np.float64),
            np.asarray(right.spikes[layer.name][sample, :, neuron], np.float64),
        ),
        membranes=(membrane(left), membrane(right)), threshold=float(real.threshold[neuron] * scale),
    )  # fmt: skip


def _causes(
    lowered: Lowered, inputs: Mapping[str, Int64], left: Run, right: Run, place: tuple[int, int, int], layer: str,
    quantity: str,
) -> tuple[str, ...]:  # fmt: skip
    """Explain the first divergence."""
    sample, step, neuron = place
    if (left.result is None) != (right.result is None):
        floats, integers = (right, left) if left.result is not None else (left, right)
        return find_causes(lowered, inputs, floats, integers, sample=sample, step=step, layer=layer, neuron=neuron)
    if left.result is None:
        return ("order of summation, or another reset rule or delay: both runs compute in floats",)
    return {
        "u": ("the synaptic sum, its delay, the current decay or a wrap differs",),
        "v": ("the currents agree: membrane decay, bias, saturation or reset rule differs",),
        "spikes": ("the membranes agree up to the step before: threshold test or order differs",),
    }[quantity]


def _layer(lowered: Lowered, name: str, left: Run, right: Run) -> LayerDivergence:
    """Compare the two runs of one layer."""
    one, other = left.spikes.get(name), right.spikes.get(name)
    differing = rate_error = 0.0
    if one is not None and other is not None:
        differing = float(np.mean(one != other))
        rate_error = float(np.abs(one.mean((0, 1)) - other.mean((0, 1))).mean())
    observed, wraps, saturations = _observed(lowered, name, left, right)
    clipped, weights = _clipped(lowered, name)
    return LayerDivergence(
        layer=name,
        rates=(float(one.mean()) if one is not None else 0.0, float(other.mean()) if other is not None else 0.0),
        differing=differing,
        rate_error=rate_error,
        use=observed,
        wraps=wraps,
        saturations=saturations,
        clipped=clipped,
        weights=weights,
    )


def _observed(
    lowered: Lowered, name: str, left: Run, right: Run
) -> tuple[tuple[float, float, float] | None, int | None, int | None]:
    """Use of the widths, wraps and saturations, from the run that reports them."""
    target = lowered.program.target
    for run in (left, right):
        seen = run.result.counts.layers[name].observed if run.result is not None else None
        if seen is None:
            continue
        limits = (
            (1 << (target.activation_bits - 1)) - 1,
            (1 << (target.current_bits - 1)) - 1 if target.current_bits else None,
            target.membrane_range[1],
        )
        largest = (seen.max_activation.max(), seen.max_current.max(), seen.max_membrane.max())
        use = tuple(float(value) / limit if limit else 0.0 for value, limit in zip(largest, limits, strict=True))
        return (use[0], use[1], use[2]), int(seen.wraps.sum()), int(seen.saturations.sum())
    return None, None, None


def _clipped(lowered: Lowered, name: str) -> tuple[int, int]:
    """Weights beyond the end of the integer range, and how many there are."""
    layer = lowered.program.layer(name)
    real = lowered.real_network.layer(name)
    grid = weight_grid(lowered.program.provenance.get("weight_bits", lowered.program.target.weight_bits))
    clipped = weights = 0
    scale = np.array(layer.scale) / (real.state_scale if real.state_scale.size == layer.size else real.state_scale[0])
    for connection, edge in zip(real.connections, layer.edges, strict=True):
        weight = connection.map.weight
        rows = len(weight)
        per_row = scale[:: max(1, scale.size // rows)] if scale.size > 1 else scale
        scaled = weight.reshape(rows, -1) / per_row.reshape(-1, 1)
        clipped += int(((scaled > grid.high + 0.5) | (scaled < grid.low - 0.5)).sum())
        weights += edge.map.weight.size
    return clipped, weights
