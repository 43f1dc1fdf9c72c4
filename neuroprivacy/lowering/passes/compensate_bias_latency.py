"""Initial states that compensate the latency of biases: a layer integrates its bias before its first input arrives.

A layer of latency k computes k idle time steps. Without input, v follows f(v) = tz(v·(4096 - dv)) + bias; v_init is
chosen with f^k(v_init) = v0, where v0 is the intended start (0, unless reset or synapse state another), solved
backwards in exact integers; likewise u_init. The delayed network then equals the latency-free one bit for bit, if such
a v_init exists within the membrane's width and no idle step ends above the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels import decay, fire_and_reset, integrate_current, integrate_membrane
from neuroprivacy.kernels.formats import Bools, Int64
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.lowering.ir.integer import IntegerNetwork
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.program import Layer
from neuroprivacy.targets.spec import TargetSpec


def compensate_bias_latency(network: IntegerNetwork, context: LoweringContext) -> IntegerNetwork:
    """The network with compensating initial states, and a diagnostic for each layer with neurons that have none."""
    layers, found = compensated(network.layers, network.network.latencies, context.target)
    return replace(network, layers=layers, diagnostics=(*network.diagnostics, *found))


def compensated(
    layers: Sequence[Layer], latencies: Mapping[str, int], target: TargetSpec
) -> tuple[tuple[Layer, ...], tuple[Issue, ...]]:
    """The layers with initial states for their latencies, and diagnostics."""
    found: list[Issue] = []
    done: list[Layer] = []
    for layer in layers:
        u_init, v_init, exact = initial_state(layer, latencies[layer.name], target)
        done.append(replace(layer, v_init=v_init, u_init=u_init))
        if not exact.all():
            found.append(_uncompensated(layer, np.flatnonzero(~exact)))
    return tuple(done), tuple(found)


def _uncompensated(layer: Layer, neurons: Int64) -> Issue:
    """Neurons whose bias acts too early and cannot be corrected."""
    shown = ", ".join(map(str, neurons[:5]))
    return Issue(
        where=layer.name,
        what=f"bias latency of neurons {shown}{' ...' if len(neurons) > 5 else ''} cannot be compensated "
        f"({len(neurons)} of {layer.size})",
        hint="they run uncorrected; train with schedule='chip', or use smaller negative biases",
        fatal=False,
    )


def initial_state(layer: Layer, idle: int, target: TargetSpec) -> tuple[Int64, Int64, Bools]:
    """u_init and v_init for `idle` time steps without input, and a mask of the neurons for which they are exact.

    The others keep the initial state of the layer.
    """
    bias, shape, rule = layer.bias, layer.bias.shape, target.declared_rule
    dv = np.broadcast_to(layer.dv, shape)
    du = np.broadcast_to(layer.du, shape) + rule.du_offset
    u, v = layer.u_init, layer.v_init
    exact = np.ones(shape, bool)
    for _ in range(idle):
        v, found = _inverse(v - u - bias, dv)
        exact &= found
        u, found = _inverse(u, du)
        exact &= found
    exact &= (v >= rule.v_lowest) & (v <= rule.v_highest)
    exact &= np.abs(u) < target.rule.u_half if rule.keeps_current else u == 0
    current, membrane = u, v
    for _ in range(idle):
        current, _ = integrate_current(current, np.zeros(shape, np.int64), du=layer.du, rule=rule)
        membrane, _ = integrate_membrane(membrane, current, dv=layer.dv, bias=bias, rule=rule)
        fired, membrane = fire_and_reset(
            membrane, threshold=layer.threshold, reset=layer.reset, fires=layer.fires, rule=rule
        )
        exact &= fired == 0
    exact &= (membrane == layer.v_init) & (current == layer.u_init)
    constant = (bias == 0) & (layer.u_init == 0) & (layer.v_init == 0)
    compensated = exact & ~constant
    return np.where(compensated, u, layer.u_init), np.where(compensated, v, layer.v_init), exact | constant


def _inverse(wanted: Int64, dv: Int64) -> tuple[Int64, Bools]:
    """An integer v with tz(v·(4096 - dv)) = wanted, and where there is one."""
    factor = np.maximum(DECAY_ONE - dv, 1)  # a factor of 0 gives only 0, which is its own inverse
    guess = np.rint(wanted * DECAY_ONE / factor).astype(np.int64)
    best, found = guess, np.zeros(guess.shape, bool)
    for offset in (0, -1, 1, -2, 2, -3, 3):
        candidate = guess + offset
        hit = ~found & (decay(candidate, by=dv) == wanted)
        best = np.where(hit, candidate, best)
        found |= hit
    return best, found
