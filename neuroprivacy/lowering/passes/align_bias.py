"""Bias timing: on a chip with latency a layer integrates its bias before its first input has come through.

A layer at depth k computes k idle steps too many. With no input, v follows f(v) = tz(v·(4096 - dv)) + bias; v_init is
chosen with f^k(v_init) = v0, where v0 is where the neuron is to start (0, unless its reset or its synapse say
otherwise), solved backwards in exact integers; likewise u_init. Then the delayed network equals the latency-free one
bit for bit, if such a v_init exists within the membrane's width and no idle step ends above the threshold.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels import decay
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.program import Layer
from neuroprivacy.targets.spec import TargetSpec

Mask = NDArray[np.bool_]


def align_bias(
    layers: tuple[Layer, ...], depth: dict[str, int], target: TargetSpec
) -> tuple[tuple[Layer, ...], tuple[Issue, ...]]:
    """Layers with v_init set where that works, and a remark for each layer where it does not for some neurons."""
    aligned, remarks = [], []
    for layer in layers:
        u_init, v_init, works = initial_state(layer, depth[layer.name], target)
        aligned.append(replace(layer, v_init=v_init, u_init=u_init))
        if not works.all():
            neurons = np.flatnonzero(~works)
            remarks.append(
                Issue(
                    where=layer.name,
                    what=f"bias of neurons {', '.join(map(str, neurons[:5]))}{' ...' if len(neurons) > 5 else ''} "
                    f"cannot be aligned ({len(neurons)} of {layer.size})",
                    hint="they run uncorrected; train with schedule='chip', or use smaller negative biases",
                    fatal=False,
                )
            )
    return tuple(aligned), tuple(remarks)


def initial_state(layer: Layer, idle: int, target: TargetSpec) -> tuple[Int64, Int64, Mask]:
    """u_init and v_init for `idle` steps without input, and a mask of the neurons for which they are exact.

    The others start where the layer says, uncorrected.
    """
    bias, shape = layer.bias, layer.bias.shape
    dv = np.broadcast_to(layer.dv, shape)
    du = np.broadcast_to(layer.du, shape) + target.du_offset
    u, v = layer.u_init, layer.v_init
    works = np.ones(shape, bool)
    for _ in range(idle):
        v, found = _inverse(v - u - bias, dv)
        works &= found
        u, found = _inverse(u, du)
        works &= found
    low, high = target.membrane_range
    works &= (v >= low) & (v <= high) & (np.abs(u) < target.rule.u_half if target.current_bits else u == 0)
    theta = np.broadcast_to(layer.threshold, shape) << target.threshold_shift
    current, membrane = u.copy(), v.copy()
    for _ in range(idle):
        current = decay(current, by=du)
        membrane = decay(membrane, by=dv) + current + bias
        fires = membrane > theta if target.threshold_test == ">" else membrane >= theta
        if layer.fires:
            works &= ~fires
    works &= (membrane == layer.v_init) & (current == layer.u_init)
    still = (bias == 0) & (layer.u_init == 0) & (layer.v_init == 0)
    correct = works & ~still
    return np.where(correct, u, layer.u_init), np.where(correct, v, layer.v_init), works | still


def _inverse(wanted: Int64, dv: Int64) -> tuple[Int64, Mask]:
    """An integer v with tz(v·(4096 - dv)) = wanted, where there is one."""
    kept = np.maximum(DECAY_ONE - dv, 1)  # where nothing is kept only 0 can be wanted, and 0 is its own inverse
    guess = np.rint(wanted * DECAY_ONE / kept).astype(np.int64)
    best, found = guess, np.zeros(guess.shape, bool)
    for offset in (0, -1, 1, -2, 2, -3, 3):
        candidate = guess + offset
        hit = ~found & (decay(candidate, by=dv) == wanted)
        best = np.where(hit, candidate, best)
        found |= hit
    return best, found
