"""Bias timing: on a chip with latency a layer integrates its bias before its first input has come through.

A layer at depth k computes k idle steps too many. With no input, v follows f(v) = tz(v·(4096 - dv)) + bias; v_init is
chosen with f^k(v_init) = 0, solved backwards in exact integers. Then the delayed network equals the latency-free one
bit for bit, if such a v_init exists within the membrane's width and no idle step ends above the threshold.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.errors import Issue
from neuroprivacy.kernels import decay
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Layer
from neuroprivacy.target import TargetSpec

Mask = NDArray[np.bool_]


def align_bias(
    layers: tuple[Layer, ...], depth: dict[str, int], target: TargetSpec
) -> tuple[tuple[Layer, ...], tuple[Issue, ...]]:
    """Layers with v_init set where that works, and a remark for each layer where it does not for some neurons."""
    aligned, remarks = [], []
    for layer in layers:
        v_init, works = initial_membrane(layer, depth[layer.name], target)
        aligned.append(replace(layer, v_init=v_init))
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


def initial_membrane(layer: Layer, idle: int, target: TargetSpec) -> tuple[Int64, Mask]:
    """v_init for `idle` steps without input, and a mask of the neurons for which it is exact (v_init 0 elsewhere)."""
    bias = layer.bias
    dv = np.broadcast_to(layer.dv, bias.shape)
    v = np.zeros_like(bias)
    works = np.ones(bias.shape, bool)
    for _ in range(idle):
        v, found = _inverse(v - bias, dv)
        works &= found
    low, high = target.membrane_range
    works &= (v >= low) & (v <= high)
    theta = np.broadcast_to(layer.threshold, bias.shape) << target.threshold_shift
    at = v.copy()
    for _ in range(idle):
        at = decay(at, by=dv) + bias
        fires = at > theta if target.threshold_test == ">" else at >= theta
        if layer.fires:
            works &= ~fires
    works &= at == 0
    works |= bias == 0
    return np.where(works & (bias != 0), v, 0), works


def _inverse(wanted: Int64, dv: Int64) -> tuple[Int64, Mask]:
    """An integer v with tz(v·(4096 - dv)) = wanted, where there is one."""
    guess = np.rint(wanted * 4096 / (4096 - dv)).astype(np.int64)
    best, found = guess, np.zeros(guess.shape, bool)
    for offset in (0, -1, 1, -2, 2, -3, 3):
        candidate = guess + offset
        hit = ~found & (decay(candidate, by=dv) == wanted)
        best = np.where(hit, candidate, best)
        found |= hit
    return best, found
