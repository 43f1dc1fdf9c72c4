"""Lower limits of a layer's weight scale: below them a declared width of the target no longer holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.kernels.formats import Float64
from neuroprivacy.kernels.ranges import SPIKES, Ranges, accumulated, integrated_bound, sum_bounds
from neuroprivacy.lowering.ir.quantized import QuantizedLayer
from neuroprivacy.lowering.ir.real import RealLayer
from neuroprivacy.targets.spec import TargetSpec


def smallest_scale(layer: RealLayer, target: TargetSpec, steps: int, ranges: Ranges, *, rows: int = 1) -> Float64:
    """The smallest weight scale for which threshold, bias, current of graded input and silent readout fit.

    Args:
        layer: with real weights.
        target: the chip.
        steps: computed time steps.
        ranges: of the ports.
        rows: output channels that have a scale each; 1 for one scale.

    Returns:
        (rows,).
    """
    positive, negative = one_sided_sums(layer, ranges)
    per_step = _by_row(np.maximum(positive, negative), rows)
    least = np.zeros(rows)
    if layer.fires:
        least = np.maximum(least, float(layer.threshold.max()) / max(target.threshold_max - 1, 1))
    if target.current_bits and _reads_graded(layer, ranges):
        least = np.maximum(least, per_step * accumulated(float(layer.alpha.max()), steps) / _current_limit(target))
    top_bias = ((1 << (target.bias_mantissa_bits - 1)) - 1) << target.bias_exponent_max
    least = np.maximum(least, _by_row(np.abs(layer.bias), rows) * (1 << target.activation_shift) / top_bias)
    if not layer.fires and not target.silent_readout:
        room = float(target.threshold_max) * 0.999
        least = np.maximum(least, _readout_bound(layer, float(per_step.max()), steps) / room)
    return least


def _by_row(values: Float64, rows: int) -> Float64:
    """The largest of the values of each of `rows` equal parts; of all of them if they are no equal parts."""
    if values.size % rows:
        return np.full(rows, values.max(initial=0.0))
    return np.asarray(values.reshape(rows, -1).max(1, initial=0.0), np.float64)


def widths_hold(layer: QuantizedLayer, target: TargetSpec, steps: int, ranges: Ranges) -> bool:
    """Whether current and silent readout at `smallest_scale` also fit their widths with the rounded weights."""
    connections = tuple(replace(c, map=replace(c.map, weight=c.q_weight.astype(np.float64))) for c in layer.connections)
    positive, negative = one_sided_sums(replace(layer, connections=connections), ranges)
    per_step = float(max(positive.max(), negative.max()))
    current = per_step * accumulated(float(layer.alpha.max()), steps)
    if target.current_bits and _reads_graded(layer, ranges) and current > _current_limit(target):
        return False
    if layer.fires or target.silent_readout:
        return True
    scale = float(layer.weight_scale.min())
    scaled = replace(layer, bias=layer.bias / scale, u_start=layer.u_start / scale, v_start=layer.v_start / scale)
    return _readout_bound(scaled, per_step + 1, steps) <= target.threshold_max


def one_sided_sums(layer: RealLayer, ranges: Ranges) -> tuple[Float64, Float64]:
    """Largest positive and negative synaptic sum of one time step over all inputs, by output channel."""
    parts: list[tuple[Float64, Float64]] = []
    for connection in layer.connections:
        linear = connection.map
        low, high = sum_bounds(linear.weight, ranges.get(connection.source, SPIKES), window=linear.window)
        sums = high, -low
        parts.append((sums[0].max(keepdims=True), sums[1].max(keepdims=True)) if len(layer.connections) > 1 else sums)
    return sum((p for p, _ in parts), np.zeros(1)), sum((n for _, n in parts), np.zeros(1))


def _reads_graded(layer: RealLayer, ranges: Ranges) -> bool:
    """Whether a source of the layer sends graded values in place of spikes."""
    return any(max(map(abs, ranges.get(c.source, SPIKES))) > 1 for c in layer.connections)


def _current_limit(target: TargetSpec) -> int:
    """The largest synaptic sum that the current holds without a wrap."""
    return (1 << (target.current_bits - 1 - target.activation_shift)) - 1


def _readout_bound(layer: RealLayer, per_step: float, steps: int) -> float:
    """The largest |v| after `steps` time steps of the largest input, for neurons without spikes."""
    return integrated_bound(
        per_step,
        alpha=float(layer.alpha.max()),
        beta=float(layer.beta.max()),
        bias=float(np.abs(layer.bias).max(initial=0)),
        u_start=float(np.abs(layer.u_start).max()),
        v_start=float(np.abs(layer.v_start).max()),
        steps=steps,
    )
