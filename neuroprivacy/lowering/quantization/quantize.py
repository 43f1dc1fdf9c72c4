"""The quantized IR: a weight scale per layer, population of channels, or output channel, and integer weights.

A spiking layer is invariant under a common scale of weights, bias and threshold. The weight scale s therefore folds
into the integer threshold, and rounding the weights, W = round(w/s), is the only loss. `round_weights` chooses s and
rounds, `kernels.channel_groups` decides which channels share a scale. Weights that already lie on a quantization step
(quantization-aware training) are taken as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neuroprivacy.core.errors import DoesNotFit, Issue
from neuroprivacy.kernels.channel_groups import alike, group_by_unit, group_max
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.ranges import SPIKES, Ranges
from neuroprivacy.kernels.rounding import SAME
from neuroprivacy.lowering.ir.quantized import QuantizedConnection, QuantizedLayer, QuantizedNetwork
from neuroprivacy.lowering.ir.real import execution_order
from neuroprivacy.lowering.ir.scheduled import ScheduledConnection, ScheduledLayer, ScheduledNetwork
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.lowering.passes.split_populations import channels_of, decay_classes
from neuroprivacy.lowering.quantization.calibrate import Calibration, as_split, dequantized
from neuroprivacy.lowering.quantization.round_weights import (
    COMMON_OF_GRADED,
    COMMON_OF_SPIKES,
    Grid,
    best_scale,
    round_weights,
    weight_grid,
)
from neuroprivacy.lowering.quantization.scale_limits import smallest_scale, widths_hold

#: Largest distance of a weight from an integer, in quantization steps, at which it counts as lying on the step.
ON_STEP = 1e-2


def quantize(network: ScheduledNetwork, context: LoweringContext) -> QuantizedNetwork:
    """The network with integer weights, and the group of each output channel of every layer to split.

    Raises:
        DoesNotFit: no scale satisfies the target.
    """
    options = context.options
    samples = as_split(options.calibration, network) if options.calibration else None
    calibration = Calibration(network, samples) if samples is not None else None
    # Twice the latency: layers start to compute before their input arrives, and go on after it.
    steps = context.time_steps + 2 * max(network.output_latencies)
    done: dict[str, QuantizedLayer] = {}
    found: list[Issue] = []
    groups: dict[str, Int64] = {}
    for members, _ in execution_order(network.layers):
        if calibration is not None:
            calibration.begin(members)
        for layer in members:
            if not any(c.map.weight.any() for c in layer.connections):
                raise DoesNotFit.of([Issue(where=layer.name, what="all weights are zero", hint="remove the layer")])
            group = _decay_groups(network, layer, context)
            at = _Context(
                context=context, steps=steps, grid=weight_grid(context.weight_bits), ranges=network.input_ranges,
                calibration=calibration,
                second_moments=calibration.second_moments(layer) if calibration is not None else (),
            )  # fmt: skip
            done[layer.name], group, issues = _quantized(layer, at, group)
            found += issues
            if group.max(initial=0) > 0:
                groups[layer.name] = group
        if calibration is not None:
            calibration.take([dequantized(done[layer.name]) for layer in members])
    layers = tuple(done[layer.name] for layer in network.layers)
    return QuantizedNetwork.quantized(network, layers=layers, channel_groups=groups).diagnosed(found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Context:
    """What the quantization of one layer depends on.

    Attributes:
        context: of the pass.
        steps: computed time steps that widths are proved for.
        grid: legal integer weights.
        ranges: of the ports.
        calibration: the samples; None without samples.
        second_moments: of the input of each connection; empty without samples.
    """

    context: LoweringContext
    steps: int
    grid: Grid
    ranges: Ranges
    calibration: Calibration | None
    second_moments: tuple[Float64, ...]


def _decay_groups(network: ScheduledNetwork, layer: ScheduledLayer, context: LoweringContext) -> Int64:
    """Group of each output channel by its decays; (1,) for a layer that is not split."""
    one = np.zeros(1, np.int64)
    most = context.options.populations
    channels = channels_of(network, layer, context.target) if most > 1 else 1
    if channels == 1:
        return one
    classes = decay_classes(layer, channels)
    return one if classes is None or classes.max() >= most else classes


def _quantized(layer: ScheduledLayer, at: _Context, group: Int64) -> tuple[QuantizedLayer, Int64, list[Issue]]:
    """A layer with integer weights, the group of each of its channels, and diagnostics."""
    target, options = at.context.target, at.context.options
    by_row = options.per_channel and target.threshold_per == "neuron"
    rows = _channels(layer) if by_row else group.size
    least = smallest_scale(layer, target, at.steps, at.ranges, rows=rows)
    stated = _stated_scale(layer, at.grid, rows, floor=least)
    if stated is not None and not by_row and stated.size > 1:
        by_scale = alike(stated)
        if group.max() > 0 or by_scale.max() >= options.populations:
            stated = None
        else:
            stated, group = group_max(stated, by_scale), by_scale
    if stated is not None:
        return _with_integers(layer, stated, at, on_step=True), group, []
    found = []
    if any(c.map.weight_scale is not None for c in layer.connections):
        what = f"its weights lie on quantization steps that {target.name} does not have; they are rounded again"
        found.append(Issue(where=layer.name, what=what, hint="see: neuroprivacy trace", fatal=False))
    scale, group = _weight_scale(layer, at, least, group, by_row=by_row)
    done = _with_integers(layer, scale, at)
    if not by_row:
        # The scales that fit the integers best: they only change threshold, bias and states.
        floor = group_max(least, group) if scale.size > 1 else least.max()
        done = replace(done, weight_scale=np.maximum(_refit(done, at, group), floor))
    while any(c.q_weight.any() for c in done.connections) and not widths_hold(done, target, at.steps, at.ranges):
        # Integer weights that were rounded up can exceed a width that the real ones fit.
        done = _with_integers(layer, done.weight_scale * 1.02, at)
    if not any(c.q_weight.any() for c in done.connections):
        what = f"every weight rounds to zero at the scale that {target.name}'s widths need"
        raise DoesNotFit.of([Issue(where=layer.name, what=what, hint="choose a target with wider thresholds")])
    return _corrected(done, at), group, found


def _corrected(done: QuantizedLayer, at: _Context) -> QuantizedLayer:
    """The quantized layer, its bias corrected by the mean error of its sums on the samples, if there are any."""
    calibration = at.calibration
    if calibration is None or done.name in calibration.loops:
        return done
    target, channels = at.context.target, _channels(done)
    bias = done.bias + calibration.mean_error(dequantized(done), channels if done.size % channels == 0 else 1)
    room = done.weight_scale.min() * (((1 << (target.bias_mantissa_bits - 1)) - 1) << target.bias_exponent_max)
    room /= 1 << target.activation_shift
    moved = replace(done, bias=np.where(np.abs(bias) <= room, bias, done.bias))
    return moved if widths_hold(moved, target, at.steps, at.ranges) else done


def _weight_scale(
    layer: ScheduledLayer, at: _Context, least: Float64, group: Int64, *, by_row: bool
) -> tuple[Float64, Int64]:
    """The weight scale, (1,) or (output channels,), and the group of each channel.

    Channels that could be split stay together if their own scales differ too little.
    """
    rows, grid = least.size, at.grid
    tables = [_table(c, c.map.weight, rows) for c in layer.connections]
    moments = [_usable_moments(at, layer, i, rows) for i in range(len(layer.connections))]
    if by_row or rows == 1:
        return np.maximum(best_scale(tables, moments, grid, by_row=rows > 1), least), group
    wanted = np.maximum(best_scale(tables, moments, grid, by_row=True), least)
    if group.max() == 0:
        size = float(np.sqrt(np.mean(np.concatenate([table.ravel() for table in tables]) ** 2)))
        group = group_by_unit(wanted, size, most=at.context.options.populations)
    if group.max() == 0:
        tables = [_table(c, c.map.weight, 1) for c in layer.connections]
        moments = [_usable_moments(at, layer, i, 1) for i in range(len(layer.connections))]
        return np.maximum(best_scale(tables, moments, grid, by_row=False), least.max()), group
    return group_max(wanted, group), group


def _channels(layer: ScheduledLayer) -> int:
    """Rows that share a scale: output channels where a convolution leads into the layer, else neurons."""
    convolutions = {len(c.map.weight) for c in layer.connections if c.map.conv is not None}
    return convolutions.pop() if len(convolutions) == 1 else layer.size if not convolutions else 1


def _table(connection: ScheduledConnection, weight: Float64, rows: int) -> Float64:
    """Weights as (groups, rows, columns); where rows share a scale, all connections have as many rows in all."""
    conv = connection.map.conv
    if conv is not None:
        return weight.reshape(conv.groups, len(weight) // conv.groups, -1)
    if 1 < rows < len(weight):  # a matrix beside a convolution: the neurons of a channel are one row
        return weight.reshape(1, rows, -1)
    return weight[np.newaxis]


def _usable_moments(at: _Context, layer: ScheduledLayer, i: int, rows: int) -> Float64 | None:
    """The input second moments of a connection, if there are any and they fit its table."""
    if not at.second_moments:
        return None
    connection, moments = layer.connections[i], at.second_moments[i]
    return moments if moments.shape[-1] == _table(connection, connection.map.weight, rows).shape[2] else None


def _stated_scale(layer: ScheduledLayer, grid: Grid, rows: int, *, floor: Float64) -> Float64 | None:
    """The quantization steps of the layer's weights, if all lie on them, fit the grid, and are at least `floor`."""
    scales = [c.map.weight_scale for c in layer.connections]
    if any(scale is None for scale in scales):
        return None
    found = np.concatenate([np.unique(scale) for scale in scales if scale is not None])
    if np.ptp(found) > SAME * found.max():
        if rows == 1 or len(layer.connections) != 1 or scales[0] is None or scales[0].size != rows:
            return None
        found = scales[0]
    else:
        found = found[:1]
    for connection in layer.connections:
        weight = connection.map.weight
        scaled = weight / (found if found.size == 1 else found.reshape(-1, *[1] * (weight.ndim - 1)))
        if np.abs(scaled - grid.rounded(scaled)).max() > ON_STEP:
            return None
    least = floor if found.size == floor.size else floor.max()
    return found if bool((found >= least * (1 - 1e-9)).all()) else None


def _with_integers(
    layer: ScheduledLayer, weight_scale: Float64, at: _Context, *, on_step: bool = False
) -> QuantizedLayer:
    """The layer with its weights rounded to integers."""
    connections = []
    for i, connection in enumerate(layer.connections):
        weight = connection.map.weight
        table = _table(connection, weight, weight_scale.size)
        scale = weight_scale.reshape(table.shape[0], -1, 1) if weight_scale.size > 1 else weight_scale
        moments = None if on_step else _usable_moments(at, layer, i, weight_scale.size)
        common = 0.0 if on_step else _common(connection, at.ranges)
        found = round_weights(table, scale, at.grid, moments, at.context.options.rounding, common=common)
        connections.append(QuantizedConnection.quantized(connection, q_weight=found.reshape(weight.shape)))
    return QuantizedLayer.quantized(layer, connections=tuple(connections), weight_scale=weight_scale)


def _common(connection: ScheduledConnection, ranges: Ranges) -> float:
    """c of H = I + c·11ᵀ, the input second moments without samples."""
    low, high = ranges.get(connection.source, SPIKES)
    return 0.0 if low < 0 else COMMON_OF_GRADED if high > 1 else COMMON_OF_SPIKES


def _refit(layer: QuantizedLayer, at: _Context, group: Int64) -> Float64:
    """The scales s with the least error of w - s·W for the found integers W: one for each group of rows."""
    scale, rows = layer.weight_scale, layer.weight_scale.size
    above, below = np.zeros(rows), np.zeros(rows)
    for i, connection in enumerate(layer.connections):
        real = _table(connection, connection.map.weight, rows)
        integer = _table(connection, connection.q_weight.astype(np.float64), rows)
        moments = _usable_moments(at, layer, i, rows)
        if moments is None:
            common = _common(connection, at.ranges) if at.context.options.rounding == "compensated" else 0.0
            weighted = integer + common * integer.sum(-1, keepdims=True)
        else:
            weighted = integer * moments[:, None, :] if moments.ndim == 2 else integer @ moments
        above += (real * weighted).sum(-1).reshape(rows, -1).sum(1)
        below += (integer * weighted).sum(-1).reshape(rows, -1).sum(1)
    if rows > 1:
        above = np.asarray(np.bincount(group, weights=above)[group], np.float64)
        below = np.asarray(np.bincount(group, weights=below)[group], np.float64)
    # A fit far from the scale of the search follows inactive sources rather than the weights.
    fitted = np.divide(above, below * scale, out=np.ones(rows), where=(below > 0) & (above > 0))
    return np.asarray(scale * np.clip(fitted, 0.8, 1.25), np.float64)
