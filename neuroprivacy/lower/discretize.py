"""Neurons from continuous time to steps: forward Euler with one step of length dt.

IF    dv/dt = R I                    v += (R dt) I
LIF   τ dv/dt = (v_leak - v) + R I   v = (1 - dt/τ) v + (R dt/τ) I + (dt/τ) v_leak
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from neuroprivacy.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.lower.draft import Float64

NEURONS = (nir.IF, nir.LIF)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepNeuron:
    """A neuron in steps: v = beta·v + gain·I + bias, spike above threshold; arrays (neurons,), shape of the graph."""

    shape: tuple[int, ...]
    beta: Float64
    gain: Float64
    bias: Float64
    threshold: Float64


def discretize(name: str, node: Any, *, dt_s: float) -> StepNeuron:
    """A neuron node in steps of `dt_s` seconds.

    Raises:
        UnsupportedNode: dt is longer than the time constant, the threshold is not positive, or the neuron resets to
            something other than zero.
    """
    threshold = np.asarray(node.v_threshold, np.float64)
    shape = tuple(int(n) for n in threshold.shape) or (1,)
    threshold = threshold.reshape(-1)
    if (threshold <= 0).any():
        raise UnsupportedNode(f"{name}: threshold ({threshold.min():g}) is not positive; rescale the layer")
    if node.v_reset is not None and np.asarray(node.v_reset).any():
        raise UnsupportedNode(f"{name}: resets to {np.max(np.abs(node.v_reset)):g}; only a reset to 0 can be lowered")
    gain = np.broadcast_to(np.asarray(node.r, np.float64).reshape(-1), threshold.shape)
    if isinstance(node, nir.IF):
        one = np.ones_like(threshold)
        return StepNeuron(shape=shape, beta=one, gain=gain * dt_s, bias=0 * one, threshold=threshold)
    tau = np.broadcast_to(np.asarray(node.tau, np.float64).reshape(-1), threshold.shape)
    if (tau < dt_s).any():
        raise UnsupportedNode(f"{name}: tau ({tau.min():g} s) is shorter than dt ({dt_s:g} s); give a smaller --dt")
    leak = np.broadcast_to(np.asarray(node.v_leak, np.float64).reshape(-1), threshold.shape)
    return StepNeuron(
        shape=shape, beta=1 - dt_s / tau, gain=gain * dt_s / tau, bias=leak * dt_s / tau, threshold=threshold
    )


def derive_dt(graph: nir.NIRGraph) -> float:
    """The time step for which every neuron's input gain is 1: how frameworks that think in steps write their files.

    Raises:
        ConfigurationError: there is no such step; it has to be given.
    """
    found: list[float] = []
    for node in graph.nodes.values():
        if isinstance(node, nir.IF):
            found += (1 / np.asarray(node.r, np.float64)).reshape(-1).tolist()
        elif isinstance(node, nir.LIF):
            found += (np.asarray(node.tau, np.float64) / np.asarray(node.r, np.float64)).reshape(-1).tolist()
    if found and np.ptp(found) <= 1e-4 * max(found):
        return float(np.median(found))
    raise ConfigurationError("dt: the graph does not say its time step and its neurons imply no common one; give --dt")
