"""Real weights become integers: a scale per layer (or output channel), thresholds, biases and decays in its units.

A spiking layer is invariant under a common scale of weights, bias and threshold, so the scale folds into the integer
threshold and rounding the weights is the only loss. How the scale is chosen stands in `round_weights`; weights that
already lie on a grid (quantization-aware training) are taken as they are.

    W = round(w/s)      vth = floor(θ/s)  for `>`, floor(θ/s) + 1 for `>=`      bias, v, u = round(·/s · 2^shift)
    dv = round((1 - β)·4096)      du = round((1 - α)·4096) - du_offset
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from neuroprivacy.errors import DoesNotFit, Issue, UnsupportedNode
from neuroprivacy.kernels import split_bias
from neuroprivacy.kernels.dynamics import DECAY_ONE
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.lower.draft import Draft, DraftEdge, DraftLayer, Float64
from neuroprivacy.lower.normalize_thresholds import differ
from neuroprivacy.lower.round_weights import (
    Grid,
    Rounding,
    WeightBits,
    best_unit,
    round_weights,
    weight_grid,
)
from neuroprivacy.lower.scale_limits import Reach, smallest_scale, widths_hold
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, LinearMap
from neuroprivacy.target import TargetSpec

#: How far a weight may lie from its grid, in units of it, to count as lying on it.
ON_GRID = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantization:
    """How weights are rounded.

    Attributes:
        bits: width of the weights, at most the target's; fewer are coarser on the same chip.
        rounding: `nearest`, or `compensated` where there are moments.
        per_channel: a scale for each output channel, where the target has a threshold per neuron.
        moments: layer -> second moments of each edge's sources; empty without calibration.
        steps: computed steps, for proving that a silent readout cannot reach the threshold.
    """

    bits: WeightBits
    steps: int
    rounding: Rounding = "compensated"
    per_channel: bool = True
    moments: Mapping[str, tuple[Float64, ...]]


def quantize_layers(draft: Draft, target: TargetSpec, how: Quantization) -> tuple[tuple[Layer, ...], tuple[Issue, ...]]:
    """The layers of the Program, their initial states not yet aligned, and remarks.

    Raises:
        DoesNotFit: no scale satisfies the target.
        UnsupportedNode: constants differ by neuron where the target has one per layer, or it keeps no current.
    """
    reach = {port.name: (port.low, port.high) for port in draft.inputs}
    done = [_layer(layer, target, how, reach) for layer in draft.layers]
    return tuple(layer for layer, _ in done), tuple(remark for _, remarks in done for remark in remarks)


def _layer(layer: DraftLayer, target: TargetSpec, how: Quantization, reach: Reach) -> tuple[Layer, list[Issue]]:
    if not any(edge.weight.any() for edge in layer.edges):
        raise DoesNotFit.of([Issue(where=layer.name, what="all weights are zero", hint="remove the layer")])
    by_row = how.per_channel and target.threshold_per == "neuron"
    unit, edges, remarks = _weights(layer, target, how, reach, by_row=by_row)
    per_neuron = np.repeat(unit, layer.size // unit.size) if unit.size > 1 else unit
    if not layer.fires:
        threshold = np.array([target.threshold_max])
    else:
        theta = _constants(layer.name, "threshold", layer.threshold, target)
        threshold = np.floor(theta / per_neuron * (1 + 1e-9)).astype(np.int64) + (target.threshold_test == ">=")
        if (threshold < 1).any():
            what = "the threshold is smaller than one weight unit"
            raise DoesNotFit.of([Issue(where=layer.name, what=what, hint="rescale the layer")])
    shift = 1 << target.activation_shift
    mantissa, exponent = _bias(layer, target, per_neuron)
    scale = per_neuron * layer.unit if layer.unit.size > 1 else per_neuron
    return Layer(
        name=layer.name,
        shape=layer.shape,
        edges=edges,
        threshold=threshold,
        du=_current_decay(layer, target),
        dv=np.rint((1 - _constants(layer.name, "decay", layer.beta, target)) * DECAY_ONE)
        .astype(np.int64)
        .clip(0, (1 << target.decay_bits) - 1),
        bias_mantissa=mantissa,
        bias_exponent=exponent,
        v_init=np.rint(layer.v_start / per_neuron * shift).astype(np.int64),
        u_init=np.rint(layer.u_start / per_neuron * shift).astype(np.int64),
        reset=layer.reset,
        fires=layer.fires,
        scale=tuple(float(s) for s in scale),
    ), remarks


def _current_decay(layer: DraftLayer, target: TargetSpec) -> Int64:
    """du, (1,) or (neurons,); all ones where neurons keep no current."""
    top = (1 << target.decay_bits) - 1
    if not layer.alpha.any():
        return np.array([top])
    if not target.current_bits:
        raise UnsupportedNode(
            f"{layer.name}: keeps a synaptic current, {target.name} does not; choose --target loihi2, or neurons "
            "without tau_syn"
        )
    alpha = _constants(layer.name, "current decay", layer.alpha, target)
    return (np.rint((1 - alpha) * DECAY_ONE).astype(np.int64) - target.du_offset).clip(0, top)


def _weights(
    layer: DraftLayer, target: TargetSpec, how: Quantization, reach: Reach, *, by_row: bool
) -> tuple[Float64, tuple[Edge, ...], list[Issue]]:
    """The unit of the weights, (1,) or (output channels,), and the integer edges."""
    grid = weight_grid(how.bits)
    rows = _channels(layer) if by_row else 1
    least = smallest_scale(layer, target, how.steps, reach)
    stated = _stated_grid(layer, grid, rows, floor=least)
    if stated is not None:
        return stated, _integer_edges(layer, stated, grid, how, on_grid=True), []
    remarks = []
    if any(edge.grid is not None for edge in layer.edges):
        what = f"its weights lie on a grid that {target.name} cannot take over; they are rounded again"
        remarks.append(Issue(where=layer.name, what=what, hint="see: neuroprivacy trace", fatal=False))
    tables = [_table(edge, rows) for edge in layer.edges]
    moments = [_usable(how, layer, i, rows) for i in range(len(layer.edges))]
    unit = np.maximum(best_unit(tables, moments, grid, by_row=rows > 1), least)
    edges = _integer_edges(layer, unit, grid, how)
    if rows == 1:
        # The unit that fits the integers best: it only moves threshold, bias and states.
        unit = np.maximum(_refit(layer, edges, unit, how), least)
    while any(edge.map.weight.any() for edge in edges) and not widths_hold(
        layer, edges, target, float(unit.min()), how.steps, reach
    ):
        unit = unit * 1.02  # rounding up many weights can break what their real values keep
        edges = _integer_edges(layer, unit, grid, how)
    if not any(edge.map.weight.any() for edge in edges):
        what = f"every weight rounds to zero at the scale that {target.name}'s widths need"
        raise DoesNotFit.of([Issue(where=layer.name, what=what, hint="choose a target with wider thresholds")])
    return unit, edges, remarks


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


def _usable(how: Quantization, layer: DraftLayer, i: int, rows: int) -> Float64 | None:
    """The moments of an edge, if there are any that fit its table."""
    known = how.moments.get(layer.name)
    if known is None:
        return None
    columns = _table(layer.edges[i], rows).shape[2]
    return known[i] if known[i].shape[-1] == columns else None


def _stated_grid(layer: DraftLayer, grid: Grid, rows: int, *, floor: float) -> Float64 | None:
    """The unit on which all weights of the layer lie, if they do, fit the grid, and the target's widths allow it."""
    units = [edge.grid for edge in layer.edges]
    if any(unit is None for unit in units):
        return None
    found = np.concatenate([np.unique(unit) for unit in units if unit is not None])
    if np.ptp(found) > 1e-5 * found.max():
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
    return found if found.min() >= floor * (1 - 1e-9) else None


def _integer_edges(
    layer: DraftLayer, unit: Float64, grid: Grid, how: Quantization, *, on_grid: bool = False
) -> tuple[Edge, ...]:
    """The layer's edges with rounded weights."""
    edges = []
    for i, edge in enumerate(layer.edges):
        table = _table(edge, unit.size)
        scale = unit.reshape(table.shape[0], -1, 1) if unit.size > 1 else unit
        moments = None if on_grid else _usable(how, layer, i, unit.size)
        whole = round_weights(table, scale, grid, moments, how.rounding).reshape(edge.weight.shape)
        edges.append(Edge(source=edge.source, map=_integer_map(edge, whole), delay=edge.delay))
    return tuple(edges)


def _integer_map(edge: DraftEdge, weight: Int64) -> LinearMap:
    """The rounded map."""
    if edge.conv is None:
        return DenseMap(weight=weight)
    conv = edge.conv
    return ConvMap(
        weight=weight, in_shape=conv.in_shape, stride=conv.stride, padding=conv.padding, dilation=conv.dilation,
        groups=conv.groups, pool=conv.pool, pool_stride=conv.pool_stride,
    )  # fmt: skip


def _refit(layer: DraftLayer, edges: tuple[Edge, ...], unit: Float64, how: Quantization) -> Float64:
    """The unit s with the least error of w - s·W for the integers W that were found."""
    above = below = 0.0
    for i, (edge, found) in enumerate(zip(layer.edges, edges, strict=True)):
        real, whole = _table(edge, 1), _table(replace(edge, weight=found.map.weight.astype(np.float64)), 1)
        moments = _usable(how, layer, i, 1)
        seen = np.ones((1, whole.shape[2])) if moments is None else moments
        weighted = whole * seen[:, None, :] if seen.ndim == 2 else whole @ seen
        above += float((real * weighted).sum())
        below += float((whole * weighted).sum())
    # Far from the grid's own unit the fit would say more about dead sources than about the weights.
    return unit * np.clip(above / below / unit, 0.8, 1.25) if below > 0 and above > 0 else unit


def _constants(name: str, what: str, values: Float64, target: TargetSpec) -> Float64:
    """(1,) if all neurons agree, else (neurons,) where the target allows it."""
    if not differ(values):
        return values[:1]
    if target.threshold_per == "neuron":
        return values
    raise UnsupportedNode(
        f"{name}: {what} differs by neuron ({values.min():g} ... {values.max():g}), {target.name} has one per layer; "
        f"accept their mean with --constants mean, train it per layer, or choose --target int8"
    )


def _bias(layer: DraftLayer, target: TargetSpec, unit: Float64) -> tuple[Int64, int]:
    """Mantissa and the smallest exponent that holds the largest bias."""
    exact = layer.bias / unit * (1 << target.activation_shift)
    found = split_bias(exact, bits=target.bias_mantissa_bits, exponent_max=target.bias_exponent_max)
    if found is not None:
        return found
    issue = Issue(
        where=layer.name,
        what="bias",
        value=float(np.abs(exact).max()),
        limit=((1 << (target.bias_mantissa_bits - 1)) - 1) << target.bias_exponent_max,
        hint="a larger weight scale or a smaller bias is needed",
    )
    raise DoesNotFit.of([issue])
