"""Networks of snnTorch to NIR, with the rule by which their neurons reset, or a refusal where that rule is not ours.

Our neuron integrates, fires above the threshold and resets in the same step: v = β v + I; spike where v > θ; then 0
(hard) or v - θ (soft). Of snnTorch 1.0.0's combinations these compute the same:

    neuron      reset_mechanism   reset_delay   leak       because
    Leaky       zero              either        any        the late reset comes before the leak and the new input
    Synaptic    zero              False         any
    RLeaky      zero              False         any
    all four    subtract          True          β = 1      without a leak it does not matter when θ is subtracted
    Leaky       subtract          True          any        with an edge of weight (β - 1) θ from each neuron to itself:
    RLeaky      subtract          True          any        β v + I - θ s = β (v - θ s) + I + (β - 1) θ s

Not the same: Synaptic, RLeaky and RSynaptic with a late "zero" lose the input of the step after a spike; of Synaptic
and RSynaptic, "subtract" with a leak takes θ off after the leak, and an edge would act through the current; "subtract"
in the same step never spends what exceeds 2 θ; RSynaptic with reset_delay=False fails on a name, or, where states are
passed to it, resets late all the same.
"""

from __future__ import annotations

import math
from typing import Any

import nir
import numpy as np
import snntorch
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.export.nodes import node_of
from neuroprivacy.export.writer import GraphWriter
from neuroprivacy.graph.metadata import DEFAULT_DT_S, GraphInfo
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks import Node
from neuroprivacy.networks.layer_graph import Shape
from neuroprivacy.networks.layers import supported
from neuroprivacy.networks.tracing import trace_layers

_NEURONS = (snntorch.Leaky, snntorch.RLeaky, snntorch.Synaptic, snntorch.RSynaptic)
_WITH_CURRENT = (snntorch.Synaptic, snntorch.RSynaptic)
_RECURRENT = (snntorch.RLeaky, snntorch.RSynaptic)
#: snnTorch chooses the step of a neuron when it is made: by the name of that method, the mechanism.
_MECHANISMS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
#: 1 - β of a neuron with a synaptic current that does not leak: NIR has no such neuron, this one leaks 1e-12 a step.
_NO_LEAK = 2.0**-40
_RETRAIN = 'retrain with reset_mechanism="zero", reset_delay=False'


def snntorch_to_nir(module: nn.Module, *, input_shape: Shape, dt_s: float = DEFAULT_DT_S) -> nir.NIRGraph:
    """One time step of a network of snnTorch neurons as a NIR graph; every state starts at zero.

    Args:
        module: a Sequential, or any module whose forward torch.fx can trace; it is not changed.
        input_shape: of one time step's input, without the batch.
        dt_s: duration of one time step, seconds.

    Returns:
        Nodes named as the module's layers (dots become underscores), from `input` to `output`; batch norm is folded
        into the layer before it. Where the forward returns the spikes of several last layers, the outputs are
        `output_<layer>`; returned spikes of layers before these are no outputs. A network that ends in a linear layer
        has the sum of its currents over time as readout.

    Raises:
        UnsupportedNode: a layer, a neuron's rule or an operation of the forward has no form.
    """
    if not 0 < dt_s < math.inf:
        raise ConfigurationError(f"dt: {dt_s} s is not a positive time step")
    shape = tuple(int(n) for n in input_shape)
    layers = trace_layers(module, input_shape=shape)
    for node in layers.nodes:
        if node.kind == "relu":
            raise UnsupportedNode(f"{node.name}: ReLU sends real values, a chip sends spikes; put neurons in its place")
        if node.kind == "neuron":
            _check_neuron(node.name, layers.modules[node.name])

    def make(node: Node, given: Shape) -> nir.NIRNode:
        """Make the NIR node of one layer or population."""
        made = layers.modules[node.name]
        return _neuron(node.name, made, given, dt_s) if node.kind == "neuron" else node_of(node.name, made, given, dt_s)

    def feedback(node: Node) -> dict[str, Any]:
        """The NIR nodes that lead from a population back to itself."""
        return _feedback(node.name, layers.modules[node.name], node.shape) if node.kind == "neuron" else {}

    writer = GraphWriter(layers.nodes)
    writer.write(make, feedback)
    fires = [layers.by_name[name].kind == "neuron" for name in layers.outputs]
    if any(fires) and not all(fires):
        currents, spikes = layers.outputs[fires.index(False)], layers.outputs[fires.index(True)]
        raise UnsupportedNode(f"{currents}: its currents are returned beside the spikes of {spikes}; return one kind")
    for name in layers.outputs:
        writer.end(name, "output" if len(layers.outputs) == 1 else f"output_{name}")
    return writer.graph(GraphInfo(
        dt_s=dt_s,
        reset=_common_reset({n.name: layers.modules[n.name] for n in layers.nodes if n.kind == "neuron"}),
        readout="spike_count" if all(fires) else "membrane",
        readout_beta=None if all(fires) else 1.0,
    ))  # fmt: skip


def _feedback(name: str, module: Any, shape: Shape) -> dict[str, Any]:
    """Nodes from a population back to itself: recurrent weights, and the correction of a late reset."""
    found: dict[str, Any] = {}
    if isinstance(module, _RECURRENT):
        found[f"{name}_recurrent"] = _recurrent(f"{name}_recurrent", module, shape)
    if (owed := _late_reset(name, module, shape)).any():
        found[f"{name}_reset"] = nir.Scale(scale=owed)
    return found


def _check_neuron(name: str, module: Any) -> None:
    """Refuse a neuron that does more than leak, fire and reset."""
    kind = type(module).__name__
    if type(module) not in _NEURONS:
        known = ", ".join(neuron.__name__ for neuron in _NEURONS)
        raise UnsupportedNode(f"{name}: the neuron {kind} has no NIR form here; use {known}")
    if module.inhibition:
        raise UnsupportedNode(f"{name}: inhibition has no NIR form; retrain without it")
    if module.state_quant:
        raise UnsupportedNode(f"{name}: state_quant rounds to levels that no chip computes in; retrain without it")
    if bool((module.graded_spikes_factor != 1).any()):
        raise UnsupportedNode(f"{name}: graded_spikes_factor is not 1; multiply the weights behind it instead")
    _reset(name, module)


def _reset(name: str, module: Any) -> Reset:
    """Our rule that a neuron's reset equals.

    Raises:
        UnsupportedNode: it equals none.
    """
    mechanism, delay = _MECHANISMS.get(module.state_function.__name__, "unknown"), bool(module.reset_delay)
    rule = f'{name}: {type(module).__name__} with reset_mechanism="{mechanism}", reset_delay={delay}'
    if mechanism != module.reset_mechanism or int(module.reset_mechanism_val) != module.reset_dict.get(mechanism):
        raise UnsupportedNode(
            f'{name}: its reset_mechanism was changed to "{module.reset_mechanism}" after it was made, and snnTorch '
            f'goes on with "{mechanism}" in part; make the neuron anew'
        )
    if mechanism == "none":
        raise UnsupportedNode(f"{rule} never resets; {_RETRAIN}, or end in a Linear for a membrane readout")
    if isinstance(module, snntorch.RSynaptic) and not delay:
        raise UnsupportedNode(
            f'{rule} does not reset its state in snnTorch 1.0.0; retrain with RLeaky and reset_mechanism="zero", or '
            'with reset_mechanism="subtract", reset_delay=True, beta=1'
        )
    if mechanism == "zero":
        if not delay or isinstance(module, snntorch.Leaky):
            return "hard"
        remedy = 'retrain with RLeaky, or with "subtract" and beta=1' if _is_rsynaptic(module) else _RETRAIN
        raise UnsupportedNode(f"{rule} loses the input of the step after a spike, which a chip does not; {remedy}")
    if not delay:
        raise UnsupportedNode(
            f"{rule} never spends a membrane above twice the threshold; {_RETRAIN}, or with beta=1, reset_delay=True"
        )
    if isinstance(module, _WITH_CURRENT) and bool((_decay_factor(module.beta) != 1).any()):
        remedy = "retrain with RLeaky, or with beta=1" if _is_rsynaptic(module) else f"{_RETRAIN}, or with beta=1"
        raise UnsupportedNode(f"{rule} subtracts after the leak, a chip before it; {remedy}")
    return "soft"


def _late_reset(name: str, module: Any, shape: Shape) -> NDArray[np.float64]:
    """Weight from a spike to the neuron's next time step where θ is subtracted after the leak: (β - 1) θ."""
    if _reset(name, module) == "hard":
        return np.zeros(shape)
    beta = _full(name, "beta", _decay_factor(module.beta), shape)
    return np.asarray((beta - 1) * _full(name, "threshold", module.threshold, shape), np.float64)


def _is_rsynaptic(module: Any) -> bool:
    return isinstance(module, snntorch.RSynaptic)


def _common_reset(neurons: dict[str, Any]) -> Reset | None:
    """The reset rule that all neurons share; None if there are no neurons."""
    first: dict[Reset, str] = {}
    for name, module in neurons.items():
        first.setdefault(_reset(name, module), name)
    if len(first) > 1:
        raise UnsupportedNode(
            f"{first['soft']}: subtracts its threshold while {first['hard']} resets to zero; give all neurons one rule"
        )
    return next(iter(first), None)


def _decay_factor(value: torch.Tensor) -> NDArray[np.float64]:
    """A decay per step as snnTorch uses it: between 0 and 1."""
    return np.asarray(value.detach().cpu().double().clamp(0, 1), np.float64)


def _full(name: str, what: str, value: Any, shape: Shape) -> NDArray[np.float64]:
    """A neuron's parameter for each of its population, by torch's rule of broadcasting over the batch."""
    array = np.asarray(value.detach().cpu().double().numpy() if isinstance(value, torch.Tensor) else value)
    try:
        full: NDArray[np.float64] = np.broadcast_to(array, (1, *shape))[0]
    except ValueError:
        raise UnsupportedNode(
            f"{name}: {what} has the shape {array.shape}, its neurons {shape}; give one each"
        ) from None
    if not np.isfinite(full).all():
        raise UnsupportedNode(f"{name}: {what} is not finite; train it again")
    return full


def _neuron(name: str, module: Any, shape: Shape, dt_s: float) -> nir.NIRNode:
    threshold = _full(name, "threshold", module.threshold, shape)
    if threshold.min() <= 0:
        raise UnsupportedNode(f"{name}: threshold ({threshold.min():g}) is not positive; rescale the layer")
    ends = {"v_threshold": threshold, "v_reset": np.zeros(shape)}
    beta = _full(name, "beta", _decay_factor(module.beta), shape)
    if not isinstance(module, _WITH_CURRENT) and (beta == 1).all():
        return nir.IF(r=np.full(shape, _unit_gain(dt_s)), **ends)
    tau, gain = _constant(beta, dt_s)
    ends["v_leak"] = np.zeros(shape)
    if not isinstance(module, _WITH_CURRENT):
        return nir.LIF(tau=tau, r=gain, **ends)
    alpha = _full(name, "alpha", _decay_factor(module.alpha), shape)
    if alpha.max() == 1:
        raise UnsupportedNode(f"{name}: alpha is 1, a synaptic current that never decays; retrain with alpha below 1")
    tau_syn, w_in = _constant(alpha, dt_s)
    return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=gain, w_in=w_in, **ends)


def _unit_gain(step: float) -> float:
    """The value whose product with a time step is 1, or the closest below 1."""
    r = 1 / step
    return float(np.nextafter(r, 0)) if r * step > 1 else r


def _constant(decay: NDArray[np.float64], dt_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The time constant of a decay per step, and the factor that gives a gain of 1 with it, never more.

    In float64: sums of weights on a grid do equal thresholds, and a gain of 1 + 1e-8 would make such neurons fire.
    """
    tau = np.maximum(dt_s / np.maximum(1 - decay, _NO_LEAK), dt_s)
    taken = 1 - (1 - dt_s / tau)
    gain = np.asarray(1 / taken)
    return tau, np.where(gain * taken > 1, np.nextafter(gain, 0), gain)


def _recurrent(name: str, module: Any, shape: Shape) -> nir.NIRNode:
    """The NIR nodes that lead from a neuron's spikes back to it, one time step later."""
    path = module.recurrent
    if not module.all_to_all:
        return nir.Scale(scale=_full(name, "V", path.V, shape).astype(np.float32))
    supported(name, path, shape)
    if isinstance(path, nn.Linear) and path.in_features != shape[0]:
        raise UnsupportedNode(f"{name}: linear_features is {path.in_features}, its neurons {shape}; give as many")
    if isinstance(path, nn.Conv2d) and any(k % 2 == 0 for k in path.kernel_size):
        raise UnsupportedNode(f"{name}: an even kernel_size changes the shape; use an odd one")
    return node_of(name, path, shape, DEFAULT_DT_S)
