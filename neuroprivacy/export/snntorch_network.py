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
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import snntorch
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.export.nodes import node_of, pair
from neuroprivacy.export.snntorch_trace import Shape, Wiring, is_neuron, trace
from neuroprivacy.graph.metadata import DEFAULT_DT_S, GraphInfo
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks.fold import NORMS, folded

_NEURONS = (snntorch.Leaky, snntorch.RLeaky, snntorch.Synaptic, snntorch.RSynaptic)
_WITH_CURRENT = (snntorch.Synaptic, snntorch.RSynaptic)
_RECURRENT = (snntorch.RLeaky, snntorch.RSynaptic)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.AvgPool2d, nn.Flatten)
_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
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
        dt_s: what one time step lasts, seconds.

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
    wiring = _without_norms(trace(module, shape, check=_check))
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(shape)})}
    edges = list(wiring.edges)
    for name, placed in wiring.layers.items():
        if not is_neuron(placed.module):
            nodes[name] = node_of(name, placed.module, placed.shape, dt_s)
            continue
        nodes[name] = _neuron(name, placed.module, placed.shape, dt_s)
        if isinstance(placed.module, _RECURRENT):
            back = f"{name}_recurrent"
            nodes[back] = _recurrent(back, placed.module, placed.shape)
            edges += [(name, back), (back, name)]
        if (owed := _owed(name, placed.module, placed.shape)).any():
            back = f"{name}_reset"
            nodes[back] = nir.Scale(scale=owed)
            edges += [(name, back), (back, name)]
    fires = [is_neuron(wiring.layers[name].module) for name in wiring.outputs]
    if any(fires) and not all(fires):
        currents, spikes = wiring.outputs[fires.index(False)], wiring.outputs[fires.index(True)]
        raise UnsupportedNode(f"{currents}: its currents are returned beside the spikes of {spikes}; return one kind")
    for name in wiring.outputs:
        end = "output" if len(wiring.outputs) == 1 else f"output_{name}"
        nodes[end] = nir.Output({"output": np.array(wiring.layers[name].out)})
        edges.append((name, end))
    info = GraphInfo(
        dt_s=dt_s,
        reset=_common_reset({n: p.module for n, p in wiring.layers.items() if is_neuron(p.module)}),
        readout="spike_count" if all(fires) else "membrane",
        readout_beta=None if all(fires) else 1.0,
    )
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=info.to_metadata(), type_check=False)


def _without_norms(wiring: Wiring) -> Wiring:
    """Every batch norm folded into the layer before it."""
    layers, edges, outputs = dict(wiring.layers), list(wiring.edges), list(wiring.outputs)
    for name, placed in wiring.layers.items():
        if not isinstance(placed.module, NORMS):
            continue
        sources = [source for source, target in edges if target == name]
        before = sources[0]
        alone = len(sources) == 1 and before not in outputs and [s for s, _ in edges].count(before) == 1
        layer = layers.get(before) if alone else None
        made = folded(name, layer and layer.module, placed.module)
        layers[before] = replace(layers[before], module=made)
        del layers[name]
        edges = [(before if s == name else s, t) for s, t in edges if t != name]
        outputs = [before if n == name else n for n in outputs]
    return Wiring(layers=layers, edges=edges, outputs=outputs)


def _check(name: str, module: nn.Module, shape: Shape) -> None:
    """Refuse a layer that has no form, before anything is computed with it."""
    kind = type(module).__name__
    if is_neuron(module):
        _check_neuron(name, module)
        return
    if isinstance(module, _MAX_POOLS):
        raise UnsupportedNode(f"{name}: {kind} has no form in spikes; replace it by nn.AvgPool2d and retrain")
    if not isinstance(module, (*_LAYERS, *NORMS)):
        raise UnsupportedNode(f"{name}: {kind} has no NIR form here; replace it by a supported layer or neuron")
    if isinstance(module, nn.Linear) and len(shape) != 1:
        raise UnsupportedNode(f"{name}: Linear reads values of shape {shape}; put nn.Flatten() before it")
    if isinstance(module, nn.Conv1d | nn.Conv2d) and module.padding_mode != "zeros":
        raise UnsupportedNode(f"{name}: padding_mode {module.padding_mode!r} has no NIR form; use zeros and retrain")
    if isinstance(module, nn.AvgPool2d) and (
        module.ceil_mode
        or module.divisor_override is not None
        or not (module.count_include_pad or pair(module.padding) == (0, 0))
    ):
        raise UnsupportedNode(
            f"{name}: ceil_mode, divisor_override and count_include_pad=False have no NIR form; use the defaults"
        )
    if isinstance(module, nn.Flatten) and (module.start_dim != 1 or module.end_dim not in (-1, len(shape))):
        raise UnsupportedNode(f"{name}: flattens some dimensions only; use nn.Flatten()")
    for part in ("input_quant", "bias_quant", "output_quant"):
        if getattr(getattr(module, part, None), "is_quant_enabled", False):
            raise UnsupportedNode(f"{name}: {part} is on; only quantized weights are taken over, set {part}=None")


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
    said = f'{name}: {type(module).__name__} with reset_mechanism="{mechanism}", reset_delay={delay}'
    if mechanism != module.reset_mechanism or int(module.reset_mechanism_val) != module.reset_dict.get(mechanism):
        raise UnsupportedNode(
            f'{name}: its reset_mechanism was changed to "{module.reset_mechanism}" after it was made, and snnTorch '
            f'goes on with "{mechanism}" in part; make the neuron anew'
        )
    if mechanism == "none":
        raise UnsupportedNode(f"{said} never resets; {_RETRAIN}, or end in a Linear for a membrane readout")
    if isinstance(module, snntorch.RSynaptic) and not delay:
        raise UnsupportedNode(
            f'{said} does not reset its state in snnTorch 1.0.0; retrain with RLeaky and reset_mechanism="zero", or '
            'with reset_mechanism="subtract", reset_delay=True, beta=1'
        )
    if mechanism == "zero":
        if not delay or isinstance(module, snntorch.Leaky):
            return "hard"
        remedy = 'retrain with RLeaky, or with "subtract" and beta=1' if _is_rsynaptic(module) else _RETRAIN
        raise UnsupportedNode(f"{said} loses the input of the step after a spike, which a chip does not; {remedy}")
    if not delay:
        raise UnsupportedNode(
            f"{said} never spends a membrane above twice the threshold; {_RETRAIN}, or with beta=1, reset_delay=True"
        )
    if isinstance(module, _WITH_CURRENT) and bool((_kept(module.beta) != 1).any()):
        remedy = "retrain with RLeaky, or with beta=1" if _is_rsynaptic(module) else f"{_RETRAIN}, or with beta=1"
        raise UnsupportedNode(f"{said} subtracts after the leak, a chip before it; {remedy}")
    return "soft"


def _owed(name: str, module: Any, shape: Shape) -> NDArray[np.float64]:
    """What a neuron that subtracts θ after the leak loses one step after a spike beyond what ours does: (β - 1) θ."""
    if _reset(name, module) == "hard":
        return np.zeros(shape)
    beta = _full(name, "beta", _kept(module.beta), shape)
    return np.asarray((beta - 1) * _full(name, "threshold", module.threshold, shape), np.float64)


def _is_rsynaptic(module: Any) -> bool:
    return isinstance(module, snntorch.RSynaptic)


def _common_reset(neurons: dict[str, Any]) -> Reset | None:
    """The one rule of all neurons; None where there are none."""
    first: dict[Reset, str] = {}
    for name, module in neurons.items():
        first.setdefault(_reset(name, module), name)
    if len(first) > 1:
        raise UnsupportedNode(
            f"{first['soft']}: subtracts its threshold while {first['hard']} resets to zero; give all neurons one rule"
        )
    return next(iter(first), None)


def _kept(value: torch.Tensor) -> NDArray[np.float64]:
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
    beta = _full(name, "beta", _kept(module.beta), shape)
    if not isinstance(module, _WITH_CURRENT) and (beta == 1).all():
        return nir.IF(r=np.full(shape, _unit_gain(dt_s)), **ends)
    tau, gain = _constant(beta, dt_s)
    ends["v_leak"] = np.zeros(shape)
    if not isinstance(module, _WITH_CURRENT):
        return nir.LIF(tau=tau, r=gain, **ends)
    alpha = _full(name, "alpha", _kept(module.alpha), shape)
    if alpha.max() == 1:
        raise UnsupportedNode(f"{name}: alpha is 1, a synaptic current that never decays; retrain with alpha below 1")
    tau_syn, w_in = _constant(alpha, dt_s)
    return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=gain, w_in=w_in, **ends)


def _unit_gain(step: float) -> float:
    """What times a step is 1, or the closest below."""
    r = 1 / step
    return float(np.nextafter(r, 0)) if r * step > 1 else r


def _constant(kept: NDArray[np.float64], dt_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The time constant of a decay per step, and the factor that gives a gain of 1 with it, never more.

    In float64: sums of weights on a grid do equal thresholds, and a gain of 1 + 1e-8 would make such neurons fire.
    """
    tau = np.maximum(dt_s / np.maximum(1 - kept, _NO_LEAK), dt_s)
    taken = 1 - (1 - dt_s / tau)
    gain = np.asarray(1 / taken)
    return tau, np.where(gain * taken > 1, np.nextafter(gain, 0), gain)


def _recurrent(name: str, module: Any, shape: Shape) -> nir.NIRNode:
    """What leads from a neuron's spikes back to it, one step later."""
    path = module.recurrent
    if not module.all_to_all:
        return nir.Scale(scale=_full(name, "V", path.V, shape).astype(np.float32))
    _check(name, path, shape)
    if isinstance(path, nn.Linear) and path.in_features != shape[0]:
        raise UnsupportedNode(f"{name}: linear_features is {path.in_features}, its neurons {shape}; give as many")
    if isinstance(path, nn.Conv2d) and any(k % 2 == 0 for k in path.kernel_size):
        raise UnsupportedNode(f"{name}: an even kernel_size changes the shape; use an odd one")
    return node_of(name, path, shape, DEFAULT_DT_S)
