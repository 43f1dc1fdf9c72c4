"""Real weights become integers: a unit per layer, population of channels, or output channel, and the rounded weights.

A spiking layer is invariant under a common scale of weights, bias and threshold, so the unit folds into the integer
threshold and rounding the weights is the only loss: W = round(w/s). How the unit is chosen stands in `round_weights`,
which rows share one in `kernels.grouping`; weights that already lie on a grid (quantization-aware training) are taken
as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neuroprivacy.core.errors import DoesNotFit, Issue
from neuroprivacy.kernels.channel_groups import SAME_UNIT, alike, group_by_unit, group_max
from neuroprivacy.kernels.formats import Float64, Int64, WeightBits
from neuroprivacy.lowering.draft import Draft, DraftEdge, DraftLayer
from neuroprivacy.lowering.passes.split_populations import channels_of, decay_classes
from neuroprivacy.lowering.quantization.calibrate import Calibration, in_real_units
from neuroprivacy.lowering.quantization.round_weights import (
    COMMON_OF_GRADED,
    COMMON_OF_SPIKES,
    Grid,
    Rounding,
    best_unit,
    round_weights,
    weight_grid,
)
from neuroprivacy.lowering.quantization.scale_limits import SPIKES, Reach, smallest_scale, widths_hold
from neuroprivacy.targets.spec import TargetSpec

#: How far a weight may lie from its grid, in units of it, to count as lying on it.
ON_GRID = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantization:
    """How weights are rounded.

    Attributes:
        bits: width of the weights, at most the target's; fewer are coarser on the same chip.
        rounding: `nearest` or `compensated`.
        per_channel: a scale for each output channel, where the target has a threshold per neuron.
        populations: most populations that a layer may become, where the target has one threshold for each.
        calibration: samples that choose unit, rounding and bias; None for none.
        steps: computed steps, for proving that a silent readout cannot reach the threshold.
    """

    bits: WeightBits
    steps: int
    rounding: Rounding = "compensated"
    per_channel: bool = True
    populations: int = 1
    calibration: Calibration | None = None


def quantize(draft: Draft, target: TargetSpec, how: Quantization) -> tuple[Draft, dict[str, Int64]]:
    """The draft with whole weights, and for each layer that is to be split the group of each output channel.

    Raises:
        DoesNotFit: no scale satisfies the target.
    """
    reach = {port.name: (port.low, port.high) for port in draft.inputs}
    done: dict[str, DraftLayer] = {}
    remarks, groups = list(draft.remarks), {}
    for members, _ in draft.groups():
        if how.calibration is not None:
            how.calibration.begin(members)
        for layer in members:
            if not any(edge.weight.any() for edge in layer.edges):
                raise DoesNotFit.of([Issue(where=layer.name, what="all weights are zero", hint="remove the layer")])
            group = _classes(draft, layer, target, how)
            seen = how.calibration.moments(layer) if how.calibration is not None else ()
            at = _Context(how=how, target=target, grid=weight_grid(how.bits), reach=reach, moments=seen)
            done[layer.name], group, said = _quantized(layer, at, group)
            remarks += said
            if group.max(initial=0) > 0:
                groups[layer.name] = group
        if how.calibration is not None:
            how.calibration.take([in_real_units(done[layer.name]) for layer in members])
    layers = tuple(done[layer.name] for layer in draft.layers)
    return replace(draft, layers=layers, remarks=tuple(remarks)), groups


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Context:
    """What the rounding of a layer depends on beside it: `moments` of its edges' sources, if they are known."""

    how: Quantization
    target: TargetSpec
    grid: Grid
    reach: Reach
    moments: tuple[Float64, ...]


def _classes(draft: Draft, layer: DraftLayer, target: TargetSpec, how: Quantization) -> Int64:
    """Group of each channel by which a layer can be split, by its decays alone; (1,) where it cannot be split."""
    whole = np.zeros(1, np.int64)
    channels = channels_of(draft, layer, target) if how.populations > 1 else 1
    if channels == 1:
        return whole
    classes = decay_classes(layer, channels)
    return whole if classes is None or classes.max() >= how.populations else classes


def _quantized(layer: DraftLayer, at: _Context, group: Int64) -> tuple[DraftLayer, Int64, list[Issue]]:
    """A layer with unit and whole weights, the group of each of its channels, and remarks."""
    how, target, reach = at.how, at.target, at.reach
    by_row = how.per_channel and target.threshold_per == "neuron"
    rows = _channels(layer) if by_row else group.size
    least = smallest_scale(layer, target, how.steps, reach, rows=rows)
    stated = _stated_grid(layer, at.grid, rows, floor=least)
    if stated is not None and not by_row and stated.size > 1:
        of_unit = alike(stated)
        if group.max() > 0 or of_unit.max() >= how.populations:
            stated = None
        else:
            stated, group = group_max(stated, of_unit), of_unit
    if stated is not None:
        return _with_integers(layer, stated, at, on_grid=True), group, []
    remarks = []
    if any(edge.grid is not None for edge in layer.edges):
        what = f"its weights lie on a grid that {target.name} cannot take over; they are rounded again"
        remarks.append(Issue(where=layer.name, what=what, hint="see: neuroprivacy trace", fatal=False))
    unit, group = _unit(layer, at, least, group, by_row=by_row)
    done = _with_integers(layer, unit, at)
    if not by_row:
        # The units that fit the integers best: they only move threshold, bias and states.
        floor = group_max(least, group) if unit.size > 1 else least.max()
        done = replace(done, lsb=np.maximum(_refit(done, at, group), floor))
    while any(_whole(edge).any() for edge in done.edges) and not widths_hold(done, target, how.steps, reach):
        # Rounding up many weights can break what their real values keep.
        done = _with_integers(layer, done.lsb * 1.02, at)
    if not any(_whole(edge).any() for edge in done.edges):
        what = f"every weight rounds to zero at the scale that {target.name}'s widths need"
        raise DoesNotFit.of([Issue(where=layer.name, what=what, hint="choose a target with wider thresholds")])
    return _corrected(done, at), group, remarks


def _corrected(done: DraftLayer, at: _Context) -> DraftLayer:
    """The rounded layer, its bias moved by the mean error of its sums on the samples, if there are any."""
    calibration = at.how.calibration
    if calibration is None or done.name in calibration.loops:
        return done
    channels = _channels(done)
    bias = done.bias + calibration.mean_error(in_real_units(done), channels if done.size % channels == 0 else 1)
    room = done.lsb.min() * (((1 << (at.target.bias_mantissa_bits - 1)) - 1) << at.target.bias_exponent_max)
    room /= 1 << at.target.activation_shift
    moved = replace(done, bias=np.where(np.abs(bias) <= room, bias, done.bias))
    return moved if widths_hold(moved, at.target, at.how.steps, at.reach) else done


def _unit(layer: DraftLayer, at: _Context, least: Float64, group: Int64, *, by_row: bool) -> tuple[Float64, Int64]:
    """The unit of the weights, (1,) or (output channels,), and the group of each channel.

    Channels that could be split and do not differ enough in the unit that they ask for stay together.
    """
    rows, grid = least.size, at.grid
    tables = [_table(edge, rows) for edge in layer.edges]
    moments = [_usable(at, layer, i, rows) for i in range(len(layer.edges))]
    if by_row or rows == 1:
        return np.maximum(best_unit(tables, moments, grid, by_row=rows > 1), least), group
    wanted = np.maximum(best_unit(tables, moments, grid, by_row=True), least)
    if group.max() == 0:
        size = float(np.sqrt(np.mean(np.concatenate([table.ravel() for table in tables]) ** 2)))
        group = group_by_unit(wanted, size, most=at.how.populations)
    if group.max() == 0:
        tables = [_table(edge, 1) for edge in layer.edges]
        moments = [_usable(at, layer, i, 1) for i in range(len(layer.edges))]
        return np.maximum(best_unit(tables, moments, grid, by_row=False), least.max()), group
    return group_max(wanted, group), group


def _channels(layer: DraftLayer) -> int:
    """Rows that share a scale: output channels where a convolution leads into the layer, else neurons."""
    convolutions = {len(edge.weight) for edge in layer.edges if edge.conv is not None}
    return convolutions.pop() if len(convolutions) == 1 else layer.size if not convolutions else 1


def _table(edge: DraftEdge, rows: int) -> Float64:
    """An edge's weights as (groups, rows, columns); where rows share a scale, all edges have as many rows in all."""
    if edge.conv is not None:
        return edge.weight.reshape(edge.conv.groups, len(edge.weight) // edge.conv.groups, -1)
    if 1 < rows < len(edge.weight):  # a matrix beside a convolution: the neurons of a channel are one row
        return edge.weight.reshape(1, rows, -1)
    return edge.weight[np.newaxis]


def _usable(at: _Context, layer: DraftLayer, i: int, rows: int) -> Float64 | None:
    """The moments of an edge, if there are any that fit its table."""
    if not at.moments:
        return None
    columns = _table(layer.edges[i], rows).shape[2]
    return at.moments[i] if at.moments[i].shape[-1] == columns else None


def _stated_grid(layer: DraftLayer, grid: Grid, rows: int, *, floor: Float64) -> Float64 | None:
    """The units on which all weights of the layer lie, if they do, fit the grid, and are no smaller than `floor`."""
    units = [edge.grid for edge in layer.edges]
    if any(unit is None for unit in units):
        return None
    found = np.concatenate([np.unique(unit) for unit in units if unit is not None])
    if np.ptp(found) > SAME_UNIT * found.max():
        if rows == 1 or len(layer.edges) != 1 or units[0] is None or units[0].size != rows:
            return None
        found = units[0]
    else:
        found = found[:1]
    for edge in layer.edges:
        unit = found if found.size == 1 else found.reshape(-1, *[1] * (edge.weight.ndim - 1))
        scaled = edge.weight / unit
        if np.abs(scaled - grid.rounded(scaled)).max() > ON_GRID:
            return None
    least = floor if found.size == floor.size else floor.max()
    return found if bool((found >= least * (1 - 1e-9)).all()) else None


def _with_integers(layer: DraftLayer, unit: Float64, at: _Context, *, on_grid: bool = False) -> DraftLayer:
    """The layer with rounded weights."""
    edges = []
    for i, edge in enumerate(layer.edges):
        table = _table(edge, unit.size)
        scale = unit.reshape(table.shape[0], -1, 1) if unit.size > 1 else unit
        moments = None if on_grid else _usable(at, layer, i, unit.size)
        common = 0.0 if on_grid else _common(edge, at.reach)
        whole = round_weights(table, scale, at.grid, moments, at.how.rounding, common=common)
        edges.append(replace(edge, whole=whole.reshape(edge.weight.shape)))
    return replace(layer, edges=tuple(edges), lsb=unit)


def _common(edge: DraftEdge, reach: Reach) -> float:
    """How much of the second moments of an edge's sources is common to all, where there is no calibration."""
    low, high = reach.get(edge.source, SPIKES)
    return 0.0 if low < 0 else COMMON_OF_GRADED if high > 1 else COMMON_OF_SPIKES


def _whole(edge: DraftEdge) -> Int64:
    """The rounded weights of an edge that has them."""
    assert edge.whole is not None
    return edge.whole


def _refit(layer: DraftLayer, at: _Context, group: Int64) -> Float64:
    """The units s with the least error of w - s·W for the integers W that were found: one for each group of rows."""
    unit, rows = layer.lsb, layer.lsb.size
    above, below = np.zeros(rows), np.zeros(rows)
    for i, edge in enumerate(layer.edges):
        real = _table(edge, rows)
        whole = _table(replace(edge, weight=_whole(edge).astype(np.float64)), rows)
        moments = _usable(at, layer, i, rows)
        if moments is None:
            weighted = whole + (_common(edge, at.reach) if at.how.rounding == "compensated" else 0.0) * whole.sum(
                -1, keepdims=True
            )
        else:
            weighted = whole * moments[:, None, :] if moments.ndim == 2 else whole @ moments
        above += (real * weighted).sum(-1).reshape(rows, -1).sum(1)
        below += (whole * weighted).sum(-1).reshape(rows, -1).sum(1)
    if rows > 1:
        above = np.asarray(np.bincount(group, weights=above)[group], np.float64)
        below = np.asarray(np.bincount(group, weights=below)[group], np.float64)
    # Far from the grid's own unit the fit would say more about dead sources than about the weights.
    fitted = np.divide(above, below * unit, out=np.ones(rows), where=(below > 0) & (above > 0))
    return np.asarray(unit * np.clip(fitted, 0.8, 1.25), np.float64)
