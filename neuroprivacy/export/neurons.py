"""Populations in time steps as NIR's neurons in continuous time: the inverse of `lowering.discretize` (Euler).

beta = 1 - dt/tau_mem       gain = R (1 - beta) (1 - alpha) w_in       alpha = 1 - dt/tau_syn
bias = (v_leak - v_reset) (1 - beta)       threshold = v_threshold - v_reset       v_init = -v_reset
"""

from __future__ import annotations

import nir
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.networks import SpikingNeuron

Float64 = NDArray[np.float64]


def neuron_node(name: str, module: SpikingNeuron, shape: tuple[int, ...], dt_s: float) -> nir.NIRNode:
    """A population as a NIR node with parameters of its full shape.

    Args:
        name: of the population, for refusals.
        module: the population.
        shape: of it.
        dt_s: duration of one time step, seconds.

    Raises:
        UnsupportedNode: a bias without leak, or an initial membrane of neurons that do not spike: NIR has no such node.
    """
    beta, alpha, gain, bias, start, threshold = (
        _full(value, shape)
        for value in (module.beta, module.alpha, module.gain, module.v_bias, module.v_init, module.threshold)
    )
    if start.any() and not module.fires:
        raise UnsupportedNode(f"{name}: an initial membrane of neurons that do not spike has no NIR form; set v_init=0")
    if (
        module.fires
        and (beta == 0).all()
        and not alpha.any()
        and not bias.any()
        and not start.any()
        and (gain == 1).all()
    ):
        return nir.Threshold(threshold=threshold)
    reset = -start
    ends = {"v_threshold": threshold + reset, "v_reset": reset} if module.fires else {}
    if (beta == 1).all() and not alpha.any():
        if bias.any():
            raise UnsupportedNode(
                f"{name}: a bias of neurons without leak has no NIR form; put it into the layer before them"
            )
        return nir.IF(r=gain / dt_s, **ends) if module.fires else nir.I(r=gain / dt_s)
    tau = dt_s / np.maximum(1 - beta, 2.0**-40)
    leak = bias * tau / dt_s + reset
    if not alpha.any():
        kind = nir.LIF if module.fires else nir.LI
        return kind(tau=tau, r=gain * tau / dt_s, v_leak=leak, **ends)
    tau_syn = dt_s / np.maximum(1 - alpha, 2.0**-40)
    made = nir.CubaLIF if module.fires else nir.CubaLI
    return made(tau_syn=tau_syn, tau_mem=tau, r=tau / dt_s, w_in=gain * tau_syn / dt_s, v_leak=leak, **ends)


def _full(value: float | Tensor, shape: tuple[int, ...]) -> Float64:
    array = value.detach().cpu().double().numpy() if isinstance(value, Tensor) else np.float64(value)
    return np.broadcast_to(array, shape).astype(np.float64)
