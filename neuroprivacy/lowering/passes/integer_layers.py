"""The quantized IR becomes the Program's layers: thresholds, biases, decays and states as integers.

The formulas stand in `kernels.rounding`.
"""

from __future__ import annotations

import numpy as np

from neuroprivacy.core.errors import DoesNotFit, Issue, UnsupportedNode
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.rounding import differ, integer_decay, integer_state, integer_threshold, split_bias
from neuroprivacy.lowering.ir.integer import IntegerNetwork
from neuroprivacy.lowering.ir.quantized import QuantizedConnection, QuantizedLayer, QuantizedNetwork
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, LinearMap
from neuroprivacy.targets.spec import TargetSpec


def integer_layers(network: QuantizedNetwork, context: LoweringContext) -> IntegerNetwork:
    """The layers of the Program, their initial states not yet compensated for latency.

    Raises:
        DoesNotFit: a threshold or a bias does not fit its width.
        UnsupportedNode: constants differ by neuron where the target has one per layer, or it keeps no current.
    """
    target = context.target
    for layer in network.layers:
        _check_common(layer, target, is_output=layer.name in network.outputs)
    layers = tuple(integer_layer(layer, target) for layer in network.layers)
    return IntegerNetwork(network=network, layers=layers, diagnostics=network.diagnostics)


def _check_common(layer: QuantizedLayer, target: TargetSpec, *, is_output: bool) -> None:
    """Refuse constants that differ where the target has one per population; an output is not split."""
    named = [("decay", layer.beta), *([("current decay", layer.alpha)] if target.current_bits else [])]
    for what, values in (("threshold", layer.threshold), *named) if layer.fires else named:
        if target.threshold_per != "neuron" and differ(values):
            more = "" if is_output else "allow more --populations, "
            raise UnsupportedNode(
                f"{layer.name}: {what} differs by neuron ({values.min():g} ... {values.max():g}), {target.name} has "
                f"one per layer; accept their mean with --constants mean, {more}train it per layer, or choose "
                "--target int8"
            )


def integer_layer(layer: QuantizedLayer, target: TargetSpec) -> Layer:
    """Build one layer of the Program from its quantized form."""
    weight_scale = layer.neuron_scale
    if not layer.fires:
        threshold = np.array([target.threshold_max])
    else:
        theta = _constants(layer.threshold)
        threshold = integer_threshold(theta, scale=weight_scale, test=target.threshold_test)
        if (threshold < 1).any():
            what = "the threshold is smaller than one integer weight step"
            raise DoesNotFit.of([Issue(where=layer.name, what=what, hint="rescale the layer")])
    shift = target.activation_shift
    mantissa, exponent = _bias(layer, target, weight_scale)
    scale = weight_scale * layer.state_scale if layer.state_scale.size > 1 else weight_scale
    return Layer(
        name=layer.name,
        shape=layer.shape,
        edges=tuple(Edge(source=c.source, map=_integer_map(c), delay=c.delay) for c in layer.connections),
        threshold=threshold,
        du=_current_decay(layer, target),
        dv=integer_decay(_constants(layer.beta), bits=target.decay_bits),
        bias_mantissa=mantissa,
        bias_exponent=exponent,
        v_init=integer_state(layer.v_start, scale=weight_scale, shift=shift),
        u_init=integer_state(layer.u_start, scale=weight_scale, shift=shift),
        reset=layer.reset,
        fires=layer.fires,
        scale=tuple(float(s) for s in scale),
    )


def _integer_map(connection: QuantizedConnection) -> LinearMap:
    """The linear map with its weights as integers."""
    conv = connection.map.conv
    if conv is None:
        return DenseMap(weight=connection.q_weight)
    return ConvMap(
        weight=connection.q_weight, in_shape=conv.in_shape, stride=conv.stride, padding=conv.padding,
        dilation=conv.dilation, groups=conv.groups, pool=conv.pool, pool_stride=conv.pool_stride,
    )  # fmt: skip


def _current_decay(layer: QuantizedLayer, target: TargetSpec) -> Int64:
    """du, (1,) or (neurons,); the largest value for neurons without synaptic current."""
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
    """Shorten to shape (1,) where all neurons share one value; otherwise (neurons,)."""
    return values if differ(values) else values[:1]


def _bias(layer: QuantizedLayer, target: TargetSpec, scale: Float64) -> tuple[Int64, int]:
    """Mantissa and the smallest exponent that holds the largest bias."""
    exact = layer.bias / scale * (1 << target.activation_shift)
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
