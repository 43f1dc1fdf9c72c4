"""The draft becomes the Program's layers: thresholds, biases, decays and states in the units of the rounded weights.

The formulas stand in `kernels.rounding`.
"""

from __future__ import annotations

import numpy as np

from neuroprivacy.core.errors import DoesNotFit, Issue, UnsupportedNode
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.rounding import integer_decay, integer_state, integer_threshold, split_bias
from neuroprivacy.lowering.draft import Draft, DraftEdge, DraftLayer
from neuroprivacy.lowering.passes.normalize_thresholds import differ
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, LinearMap
from neuroprivacy.targets.spec import TargetSpec


def integer_layers(draft: Draft, target: TargetSpec) -> tuple[Layer, ...]:
    """The layers of the Program, their initial states not yet aligned.

    Raises:
        DoesNotFit: a threshold or a bias does not fit its width.
        UnsupportedNode: constants differ by neuron where the target has one per layer, or it keeps no current.
    """
    for layer in draft.layers:
        _must_be_common(layer, target, whole=layer.name in draft.outputs)
    return tuple(integer_layer(layer, target) for layer in draft.layers)


def _must_be_common(layer: DraftLayer, target: TargetSpec, *, whole: bool) -> None:
    """Refuse constants that the target has once per population; `whole`: a result is one population."""
    named = [("decay", layer.beta), *([("current decay", layer.alpha)] if target.current_bits else [])]
    for what, values in (("threshold", layer.threshold), *named) if layer.fires else named:
        if target.threshold_per != "neuron" and differ(values):
            more = "" if whole else "allow more --populations, "
            raise UnsupportedNode(
                f"{layer.name}: {what} differs by neuron ({values.min():g} ... {values.max():g}), {target.name} has "
                f"one per layer; accept their mean with --constants mean, {more}train it per layer, or choose "
                "--target int8"
            )


def integer_layer(layer: DraftLayer, target: TargetSpec) -> Layer:
    """One of them, whose constants the target has."""
    per_neuron = np.repeat(layer.lsb, layer.size // layer.lsb.size) if layer.lsb.size > 1 else layer.lsb
    if not layer.fires:
        threshold = np.array([target.threshold_max])
    else:
        theta = _constants(layer.threshold)
        threshold = integer_threshold(theta, scale=per_neuron, test=target.threshold_test)
        if (threshold < 1).any():
            what = "the threshold is smaller than one weight unit"
            raise DoesNotFit.of([Issue(where=layer.name, what=what, hint="rescale the layer")])
    shift = target.activation_shift
    mantissa, exponent = _bias(layer, target, per_neuron)
    scale = per_neuron * layer.unit if layer.unit.size > 1 else per_neuron
    return Layer(
        name=layer.name,
        shape=layer.shape,
        edges=tuple(Edge(source=edge.source, map=_map(edge), delay=edge.delay) for edge in layer.edges),
        threshold=threshold,
        du=_current_decay(layer, target),
        dv=integer_decay(_constants(layer.beta), bits=target.decay_bits),
        bias_mantissa=mantissa,
        bias_exponent=exponent,
        v_init=integer_state(layer.v_start, scale=per_neuron, shift=shift),
        u_init=integer_state(layer.u_start, scale=per_neuron, shift=shift),
        reset=layer.reset,
        fires=layer.fires,
        scale=tuple(float(s) for s in scale),
    )


def _map(edge: DraftEdge) -> LinearMap:
    """The map with whole weights."""
    assert edge.whole is not None, "quantize has run"
    if edge.conv is None:
        return DenseMap(weight=edge.whole)
    conv = edge.conv
    return ConvMap(
        weight=edge.whole, in_shape=conv.in_shape, stride=conv.stride, padding=conv.padding, dilation=conv.dilation,
        groups=conv.groups, pool=conv.pool, pool_stride=conv.pool_stride,
    )  # fmt: skip


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
    return integer_decay(_constants(layer.alpha), bits=target.decay_bits, offset=target.du_offset)


def _constants(values: Float64) -> Float64:
    """(1,) if all neurons agree, else (neurons,)."""
    return values if differ(values) else values[:1]


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
