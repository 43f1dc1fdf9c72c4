"""How small a weight unit may be before a declared width of the target no longer holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from neuroprivacy.kernels.formats import Float64
from neuroprivacy.lowering.draft import DraftLayer
from neuroprivacy.targets.spec import TargetSpec

#: Port -> lowest and highest value; what is not named sends spikes.
Reach = Mapping[str, tuple[int, int]]
SPIKES = (0, 1)


def smallest_scale(layer: DraftLayer, target: TargetSpec, steps: int, reach: Reach, *, rows: int = 1) -> Float64:
    """The unit below which a width would not hold: threshold, bias, current of graded input, silent readout.

    Args:
        layer: with real weights.
        target: the chip.
        steps: computed steps.
        reach: of the ports.
        rows: output channels that have a unit each; 1 for one unit.

    Returns:
        (rows,).
    """
    positive, negative = one_sided_sums(layer, reach)
    per_step = _by_row(np.maximum(positive, negative), rows)
    least = np.zeros(rows)
    if layer.fires:
        least = np.maximum(least, float(layer.threshold.max()) / max(target.threshold_max - 1, 1))
    if target.current_bits and _reads_graded(layer, reach):
        least = np.maximum(least, per_step * _gathered(layer, steps) / _current_limit(target))
    top_bias = ((1 << (target.bias_mantissa_bits - 1)) - 1) << target.bias_exponent_max
    least = np.maximum(least, _by_row(np.abs(layer.bias), rows) * (1 << target.activation_shift) / top_bias)
    if not layer.fires and not target.silent_readout:
        room = float(target.threshold_max) * 0.999
        least = np.maximum(least, _readout_bound(layer, float(per_step.max()), steps) / room)
    return least


def _by_row(values: Float64, rows: int) -> Float64:
    """The largest of the values of each of `rows` equal parts; of all of them where they cannot be told apart."""
    if values.size % rows:
        return np.full(rows, values.max(initial=0.0))
    return np.asarray(values.reshape(rows, -1).max(1, initial=0.0), np.float64)


def widths_hold(layer: DraftLayer, target: TargetSpec, steps: int, reach: Reach) -> bool:
    """Whether the rounded weights keep what `smallest_scale` proves of the real ones: current and silent readout."""
    rounded = replace(
        layer, edges=tuple(replace(e, weight=e.whole.astype(np.float64)) for e in layer.edges if e.whole is not None)
    )
    positive, negative = one_sided_sums(rounded, reach)
    per_step = float(max(positive.max(), negative.max()))
    if (
        target.current_bits
        and _reads_graded(layer, reach)
        and per_step * _gathered(layer, steps) > _current_limit(target)
    ):
        return False
    if layer.fires or target.silent_readout:
        return True
    unit = float(layer.lsb.min())
    in_units = replace(layer, bias=layer.bias / unit, u_start=layer.u_start / unit, v_start=layer.v_start / unit)
    return _readout_bound(in_units, per_step + 1, steps) <= target.threshold_max


def one_sided_sums(layer: DraftLayer, reach: Reach) -> tuple[Float64, Float64]:
    """Largest positive and negative synaptic sum of one step that any input could cause, by output channel."""
    parts: list[tuple[Float64, Float64]] = []
    for edge in layer.edges:
        window = edge.conv.pool[0] * edge.conv.pool[1] if edge.conv else 1
        low, high = reach.get(edge.source, SPIKES)
        flat = edge.weight.reshape(len(edge.weight), -1) * window
        sums = np.maximum(flat * low, flat * high).sum(1), np.maximum(-flat * low, -flat * high).sum(1)
        parts.append((sums[0].max(keepdims=True), sums[1].max(keepdims=True)) if len(layer.edges) > 1 else sums)
    return sum((p for p, _ in parts), np.zeros(1)), sum((n for _, n in parts), np.zeros(1))


def _reads_graded(layer: DraftLayer, reach: Reach) -> bool:
    """Whether a source of the layer sends more than spikes."""
    return any(max(map(abs, reach.get(edge.source, SPIKES))) > 1 for edge in layer.edges)


def _current_limit(target: TargetSpec) -> int:
    """The largest synaptic sum that the current holds without a wrap."""
    return (1 << (target.current_bits - 1 - target.activation_shift)) - 1


def _gathered(layer: DraftLayer, steps: int) -> float:
    """How many steps of equal input a current holds at most: 1 + α + α² + ... over `steps`."""
    alpha = float(layer.alpha.max())
    return float(steps) if alpha >= 1 else (1 - alpha**steps) / (1 - alpha)


def _readout_bound(layer: DraftLayer, per_step: float, steps: int) -> float:
    """The largest |v| after `steps` steps of the largest input, for neurons that only integrate."""
    alpha, beta = float(layer.alpha.max()), float(layer.beta.max())
    u = float(np.abs(layer.u_start).max())
    v = float(np.abs(layer.v_start).max())
    bias = float(np.abs(layer.bias).max(initial=0))
    for _ in range(steps):
        u = alpha * u + per_step
        v = beta * v + u + bias
    return v
