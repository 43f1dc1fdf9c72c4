"""Bounds of one layer of a Program, by the interval analysis of `kernels.ranges`."""

from __future__ import annotations

from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.kernels.ranges import SPIKES, Bounds, Ranges, state_bounds, sum_bounds
from neuroprivacy.program import Layer
from neuroprivacy.targets.spec import TargetSpec


def activation_bounds(layer: Layer, ranges: Ranges) -> Bounds:
    """Lowest and highest synaptic sum of one time step; `ranges` of the ports, other sources send spikes."""
    low = high = 0
    for edge in layer.edges:
        least, most = sum_bounds(edge.map.weight, ranges.get(edge.source, SPIKES), window=edge.map.window)
        low += int(least.min())
        high += int(most.max())
    return low, high


def layer_state_bounds(layer: Layer, ranges: Ranges, *, steps: int, target: TargetSpec) -> tuple[Bounds, Bounds]:
    """Bounds of u and of v before the threshold test, over so many computed time steps."""
    rule = target.declared_rule
    return state_bounds(
        activation_bounds(layer, ranges),
        u_init=(int(layer.u_init.min()), int(layer.u_init.max())),
        v_init=(int(layer.v_init.min()), int(layer.v_init.max())),
        bias=(int(layer.bias.min()), int(layer.bias.max())),
        factors=(
            DECAY_ONE - int(layer.du.min()) - rule.du_offset if rule.keeps_current else 0,
            DECAY_ONE - int(layer.dv.min()),
        ),
        shift=rule.activation_shift,
        theta=int(layer.threshold.max()) << rule.threshold_shift,
        reset=layer.reset if layer.fires else None,
        steps=steps,
    )
