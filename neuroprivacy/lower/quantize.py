"""Real weights become integers: one scale per layer, thresholds, biases and decays in its units.

A spiking layer is invariant under a common scale of weights, bias and threshold, so the scale folds into the integer
threshold and rounding the weights is the only loss. The scale is chosen by what it does to the layer's output: among
scales that clip ever more of the largest weights, the one with the least squared error of the sums, for sources that
are equally active and independent (which is the squared error of the weights).

    W = round(w/s)      vth = floor(θ/s)  for `>`, floor(θ/s) + 1 for `>=`      bias = round(b/s · 2^shift)
    dv = round((1 - β)·4096)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.errors import DoesNotFit, Issue, UnsupportedNode, raise_fatal
from neuroprivacy.kernels.dynamics import DECAY_ONE
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.lower.draft import Draft, DraftEdge, DraftLayer, Float64
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, LinearMap
from neuroprivacy.target import TargetSpec

#: Fractions of the largest weight that the scale search tries as the end of the integer range.
_ENDS = tuple(float(end) for end in np.round(np.linspace(1.0, 0.5, 26), 3))
_SAME = 1e-5
#: Lowest and highest value of a source that is no port.
SPIKES = (0, 1)


def quantize_layers(draft: Draft, target: TargetSpec, *, weight_bits: int, steps: int) -> tuple[Layer, ...]:
    """The layers of the Program; v_init is still 0.

    Args:
        draft: with delays.
        target: widths and rules.
        weight_bits: at most the target's; fewer quantize more coarsely on the same chip.
        steps: computed steps, for proving that a silent readout cannot reach the threshold.

    Raises:
        DoesNotFit: no scale satisfies the target.
        UnsupportedNode: constants differ by neuron where the target has one per layer.
    """
    reach = {port.name: (port.low, port.high) for port in draft.inputs}
    return tuple(_layer(layer, target, weight_bits, steps, reach) for layer in draft.layers)


def _layer(
    layer: DraftLayer, target: TargetSpec, weight_bits: int, steps: int, reach: dict[str, tuple[int, int]]
) -> Layer:
    high = (1 << (weight_bits - 1)) - 1
    _must_be_finite(layer)
    beta = _constants(layer.name, "decay", layer.beta, target)
    theta = _constants(layer.name, "threshold", layer.threshold, target)
    scale = _choose_scale(layer, target, high, theta, steps, reach)
    edges = _integer_edges(layer, scale, high)
    while any(edge.map.weight.any() for edge in edges) and not _widths_hold(layer, edges, target, scale, steps, reach):
        scale *= 1.02  # rounding up many weights can break what their real values keep
        edges = _integer_edges(layer, scale, high)
    if not any(edge.map.weight.any() for edge in edges):
        what = f"every weight rounds to zero at the scale that {target.name}'s widths need"
        raise DoesNotFit.of([Issue(where=layer.name, what=what, hint="choose a target with wider thresholds")])
    if not layer.fires:
        threshold = np.array([target.threshold_max])
    else:
        threshold = np.floor(theta / scale * (1 + 1e-9)).astype(np.int64) + (target.threshold_test == ">=")
        if (threshold < 1).any():
            raise DoesNotFit.of(
                [
                    Issue(
                        where=layer.name, what="the threshold is smaller than one weight unit", hint="rescale the layer"
                    )
                ]
            )
    mantissa, exponent = _bias(layer, target, scale)
    return Layer(
        name=layer.name,
        shape=layer.shape,
        edges=edges,
        threshold=threshold,
        du=np.array([(1 << target.decay_bits) - 1]),
        dv=np.rint((1 - beta) * DECAY_ONE).astype(np.int64).clip(0, DECAY_ONE - 1),
        bias_mantissa=mantissa,
        bias_exponent=exponent,
        v_init=np.zeros(layer.size, np.int64),
        reset=layer.reset,
        fires=layer.fires,
        scale=(scale,),
    )


def _must_be_finite(layer: DraftLayer) -> None:
    """A graph that was made in memory has not been through `load_nir`."""
    for values in (*(edge.weight for edge in layer.edges), layer.bias, layer.threshold, layer.beta):
        if not np.isfinite(values).all():
            raise UnsupportedNode(f"{layer.name}: holds a value that is not finite; train or export it again")


def _integer_edges(layer: DraftLayer, scale: float, high: int) -> tuple[Edge, ...]:
    """The layer's edges with rounded weights."""
    return tuple(Edge(source=e.source, map=_integer_map(e, scale, high), delay=e.delay) for e in layer.edges)


def _widths_hold(
    layer: DraftLayer,
    edges: tuple[Edge, ...],
    target: TargetSpec,
    scale: float,
    steps: int,
    reach: dict[str, tuple[int, int]],
) -> bool:
    """Whether the rounded weights keep what `_smallest_scale` proves of the real ones: current and silent readout."""
    rounded = replace(
        layer,
        edges=tuple(
            replace(e, weight=i.map.weight.astype(np.float64)) for e, i in zip(layer.edges, edges, strict=True)
        ),
    )
    positive, negative = one_sided_sums(rounded, reach)
    per_step = float(max(positive.max(), negative.max()))
    if target.current_bits and _reads_graded(layer, reach) and per_step > _current_limit(target):
        return False
    if layer.fires or target.silent_readout:
        return True
    return (per_step + float(np.abs(layer.bias).max()) / scale + 1) * steps <= target.threshold_max


def _reads_graded(layer: DraftLayer, reach: dict[str, tuple[int, int]]) -> bool:
    """Whether a source of the layer sends more than spikes."""
    return any(max(map(abs, reach.get(edge.source, SPIKES))) > 1 for edge in layer.edges)


def _current_limit(target: TargetSpec) -> int:
    """The largest synaptic sum that the current holds without a wrap."""
    return (1 << (target.current_bits - 1 - target.activation_shift)) - 1


def _constants(name: str, what: str, values: Float64, target: TargetSpec) -> Float64:
    """(1,) if all neurons agree, else (neurons,) where the target allows it."""
    spread = float(np.ptp(values)) / max(float(np.abs(values).max()), 1e-30)
    if spread <= _SAME:
        return values[:1]
    if target.threshold_per == "neuron":
        return values
    raise UnsupportedNode(
        f"{name}: {what} differs by neuron ({values.min():g} ... {values.max():g}), {target.name} has one per layer; "
        f"train it per layer, or choose --target int8"
    )


def _choose_scale(
    layer: DraftLayer, target: TargetSpec, high: int, theta: Float64, steps: int, reach: dict[str, tuple[int, int]]
) -> float:
    """What one weight unit is worth."""
    top = max(float(np.abs(e.weight).max()) for e in layer.edges)
    if top == 0:
        raise DoesNotFit.of([Issue(where=layer.name, what="all weights are zero", hint="remove the layer")])
    candidates = [top * end / high for end in _ENDS]
    errors = [sum(_rounding_error(e.weight, s, high) for e in layer.edges) for s in candidates]
    scale = candidates[int(np.argmin(errors))]
    return max(scale, _smallest_scale(layer, target, theta, steps, reach))


def _rounding_error(weight: Float64, scale: float, high: int) -> float:
    """Squared error of the weights on a grid of `scale` that ends at `high`."""
    rounded = np.clip(np.rint(weight / scale), -high, high) * scale
    return float(((rounded - weight) ** 2).sum())


def _smallest_scale(
    layer: DraftLayer, target: TargetSpec, theta: Float64, steps: int, reach: dict[str, tuple[int, int]]
) -> float:
    """The scale below which a declared width would not hold: threshold, current of graded input, silent readout."""
    limits = [float(theta.max()) / max(target.threshold_max - 1, 1)] if layer.fires else []
    positive, negative = one_sided_sums(layer, reach)
    per_step = float(max(positive.max(), negative.max()))
    if target.current_bits and _reads_graded(layer, reach):
        limits.append(per_step / _current_limit(target))
    top_bias = ((1 << (target.bias_mantissa_bits - 1)) - 1) << target.bias_exponent_max
    limits.append(float(np.abs(layer.bias).max(initial=0)) * (1 << target.activation_shift) / top_bias)
    if not layer.fires and not target.silent_readout:
        room = float(target.threshold_max) * 0.999
        limits.append((per_step + float(np.abs(layer.bias).max())) * steps / room)
    return max(limits, default=0.0)


def one_sided_sums(layer: DraftLayer, reach: dict[str, tuple[int, int]]) -> tuple[Float64, Float64]:
    """Largest positive and negative synaptic sum of one step that any input could cause, by output channel."""
    parts: list[tuple[Float64, Float64]] = []
    for edge in layer.edges:
        window = edge.conv.pool[0] * edge.conv.pool[1] if edge.conv else 1
        low, high = reach.get(edge.source, SPIKES)
        flat = edge.weight.reshape(len(edge.weight), -1) * window
        sums = np.maximum(flat * low, flat * high).sum(1), np.maximum(-flat * low, -flat * high).sum(1)
        parts.append((sums[0].max(keepdims=True), sums[1].max(keepdims=True)) if len(layer.edges) > 1 else sums)
    return sum((p for p, _ in parts), np.zeros(1)), sum((n for _, n in parts), np.zeros(1))


def _integer_map(edge: DraftEdge, scale: float, high: int) -> LinearMap:
    """The rounded map."""
    weight = np.clip(np.rint(edge.weight / scale), -high, high).astype(np.int64)
    if edge.conv is None:
        return DenseMap(weight=weight)
    conv = edge.conv
    return ConvMap(
        weight=weight, in_shape=conv.in_shape, stride=conv.stride, padding=conv.padding, dilation=conv.dilation,
        groups=conv.groups, pool=conv.pool, pool_stride=conv.pool_stride,
    )  # fmt: skip


def _bias(layer: DraftLayer, target: TargetSpec, scale: float) -> tuple[Int64, int]:
    """Mantissa and the smallest exponent that holds the largest bias."""
    exact = layer.bias / scale * (1 << target.activation_shift)
    limit = (1 << (target.bias_mantissa_bits - 1)) - 1
    for exponent in range(target.bias_exponent_max + 1):
        mantissa = np.rint(exact / (1 << exponent))
        if np.abs(mantissa).max(initial=0) <= limit:
            return mantissa.astype(np.int64), exponent
    issue = Issue(
        where=layer.name,
        what="bias",
        value=float(np.abs(exact).max()),
        limit=limit << target.bias_exponent_max,
        hint="a larger weight scale or a smaller bias is needed",
    )
    raise_fatal(DoesNotFit, [issue])
    raise AssertionError("unreachable")
