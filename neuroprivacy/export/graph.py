"""A NIR graph as a SpikingNetwork: foreign files can be trained on, encrypted, quantized and attacked.

Constants of neurons come from `lowering.discretize`, the order of populations and the readout from the real-valued IR;
so the network computes what the float interpretation of the graph does. nirtorch's interpreter is not used: it builds a
module that is stepped once per time step, and this network is a graph of layers over all time steps; only a map of node
types to layers would be shared, and that stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroprivacy.graph.metadata import weight_scale
from neuroprivacy.kernels.linear import as_pair
from neuroprivacy.lowering import LowerOptions, continuous_network, real_network
from neuroprivacy.lowering.discretize import NEURONS, Rule, discretize
from neuroprivacy.lowering.ir import ContinuousNetwork, RealNetwork
from neuroprivacy.lowering.node_maps import conv_options, read_as
from neuroprivacy.lowering.options import DEFAULT_TIME_STEPS
from neuroprivacy.networks import Node, SpikingNetwork, SpikingNeuron, SpikingSpec
from neuroprivacy.networks.layer_graph import RESERVED, Kind, Shape
from neuroprivacy.networks.layers import Delay, Scale, SumPool2d, output_shape
from neuroprivacy.networks.quantized import register_weight_scale

#: Relative distance from 1 of an input gain that single precision rounds to 1.
_ROUNDED = 2.0**-21


def from_nir(
    graph: nir.NIRGraph,
    *,
    dt_s: float | None = None,
    rule: Rule = "euler",
    time_steps: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> SpikingNetwork:
    """The spiking network of a graph.

    Args:
        graph: any that `lower` takes; nested graphs become one.
        dt_s: time step, seconds; None takes the graph's own, or the one that its time constants imply.
        rule: how time constants become decay factors.
        time_steps: T for input that is constant; None takes the graph's own, or 32.
        dtype: of weights and constants. In float64 every spike is that of the float interpretation (`trace --between
            float`); in float32 input gains that differ from 1 by rounding alone are 1.

    Returns:
        Nodes named as the graph's, dots as underscores; sums have nodes of their own. `to_nir` is the inverse, up
        to these names and equivalent forms: only the product of R and w_in is preserved, a neuron without memory
        is a Threshold, and uneven `same` padding is a row of zeros in the kernel.

    Raises:
        UnsupportedNode: a node, or an arrangement of nodes, cannot be lowered.
        ConfigurationError: the time step is not known.
    """
    options = LowerOptions(dt_s=dt_s, rule=rule)
    continuous, real = continuous_network(graph, options=options), real_network(graph, options=options)
    found = _Reader(continuous, real, single=dtype != torch.float64)
    info, last = continuous.info, next(layer for layer in real.layers if layer.name == real.outputs[0])
    reads_currents = not isinstance(continuous.graph.nodes[last.name], NEURONS)
    spec = SpikingSpec(
        beta=float(last.beta[0]) if reads_currents else 1.0, reset=info.reset or "hard", coding=info.coding,
        time_steps=time_steps or info.time_steps or DEFAULT_TIME_STEPS, readout=real.readout,
        schedule="chip" if info.schedule == "chip" else "ideal",
    )  # fmt: skip
    outputs = [found.names[name] for name in real.outputs]
    return SpikingNetwork(spec, found.nodes, found.layers, outputs=outputs).to(dtype).eval()


class _Reader:
    """Nodes and layers of a flat graph, populations in the order of the real-valued IR."""

    def __init__(self, continuous: ContinuousNetwork, real: RealNetwork, *, single: bool) -> None:
        self.graph, self.continuous, self.single = continuous.graph, continuous, single
        self.sources: dict[str, list[str]] = {name: [] for name in self.graph.nodes}
        for source, target in self.graph.edges:
            self.sources[target].append(source)
        self.nodes: list[Node] = []
        self.layers: dict[str, nn.Module] = {}
        self.names: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {port.name: port.shape for port in real.inputs}
        self.shapes |= {layer.name: layer.shape for layer in real.layers}
        populations = [layer.name for layer in real.layers if isinstance(self.graph.nodes[layer.name], NEURONS)]
        for name in (*self.shapes, *populations):
            self.names.setdefault(name, self._free(name))
        for port in real.inputs:
            self.nodes.append(Node(name=self.names[port.name], kind="input", sources=(), shape=port.shape))
        for name in populations:
            self._population(name)
        for layer in real.layers:
            if layer.name not in populations:
                self._linear(layer.name)

    def _free(self, wanted: str) -> str:
        """A name that a container of modules takes and no node has."""
        name = wanted.replace(".", "_")
        while name in self.names.values() or name in RESERVED:
            name += "_"
        return name

    def _put(self, name: str, kind: Kind, sources: Sequence[str], shape: Shape, module: nn.Module | None) -> str:
        self.nodes.append(Node(name=name, kind=kind, sources=tuple(sources), shape=shape))
        if module is not None:
            self.layers[name] = module
        return name

    def _population(self, name: str) -> None:
        shape = self.shapes[name]
        source = self._sum(name, self.sources[name])
        given = next(node.shape for node in self.nodes if node.name == source)
        if given != shape:  # as many values in another shape
            module = nn.Unflatten(1, shape) if len(given) == 1 else nn.Flatten()
            source = self._put(self._fresh(f"{name}_shaped"), "layer", (source,), shape, module)
        self._put(self.names[name], "neuron", (source,), shape, self._neurons(name, shape))

    def _sum(self, name: str, given: Sequence[str]) -> str:
        """The node whose values a node reads: its one source, or the sum of several."""
        ends = (*NEURONS, nir.Input)
        sources = [self.names[g] if isinstance(self.graph.nodes[g], ends) else self._linear(g) for g in given]
        if len(sources) == 1:
            return sources[0]
        shape = next(
            self.shapes[g] if g in self.shapes else next(n.shape for n in self.nodes if n.name == s)
            for g, s in zip(given, sources, strict=True)
        )
        return self._put(self._fresh(f"{name}_sum"), "add", sources, shape, None)

    def _fresh(self, wanted: str) -> str:
        """A name for a node that the graph does not have."""
        name = self._free(wanted)
        self.names[f"{wanted} (added {len(self.names)})"] = name
        return name

    def _linear(self, name: str) -> str:
        """A linear node with all that leads to it, back to populations and inputs."""
        own = self.names.get(name)
        if own is not None and any(node.name == own for node in self.nodes):
            return own
        node = self.graph.nodes[name]
        source = self._sum(name, self.sources[name])
        shape = self._shape_of(source)
        wanted = shape if isinstance(node, nir.Flatten | nir.Delay | nir.Scale) else read_as(name, node, shape)
        if wanted != shape:
            module: nn.Module = nn.Flatten() if len(wanted) == 1 else nn.Unflatten(1, wanted)
            source = self._put(self._fresh(f"{name}_shaped"), "layer", (source,), wanted, module)
        own = self.names.setdefault(name, self._free(name))
        layer = _layer(name, node, wanted, self.continuous.dt_s)
        return self._put(own, "layer", (source,), output_shape(name, layer, wanted), layer)

    def _shape_of(self, own: str) -> Shape:
        known = next((node.shape for node in self.nodes if node.name == own), None)
        return known if known is not None else next(self.shapes[n] for n, o in self.names.items() if o == own)

    def _neurons(self, name: str, shape: Shape) -> SpikingNeuron:
        info = self.continuous.info
        step = discretize(
            name, self.graph.nodes[name], dt_s=self.continuous.dt_s, reset=info.reset or "hard",
            rule=self.continuous.rule,
        )  # fmt: skip
        gain = np.where(np.abs(step.gain - 1) < _ROUNDED, 1.0, step.gain) if self.single else step.gain
        threshold = step.threshold if step.fires else np.ones(1)
        return SpikingNeuron(
            threshold=torch.as_tensor(_constant(threshold, shape), dtype=torch.float64),
            beta=_constant(step.beta, shape), alpha=_constant(step.alpha, shape), gain=_constant(gain, shape),
            v_bias=_constant(step.bias, shape), v_init=_constant(step.start, shape), fires=step.fires,
            reset=info.reset or "hard",
        )  # fmt: skip


def _constant(values: NDArray[np.float64], shape: Shape) -> float | Tensor:
    """One number if all neurons agree, else a tensor of the population's shape."""
    if not np.ptp(values):
        return float(values.reshape(-1)[0])
    return torch.from_numpy(values.reshape(shape).copy())


def _layer(name: str, node: Any, shape: Shape, dt_s: float) -> nn.Module:
    """A linear node as a layer, in float64."""
    if isinstance(node, nir.Flatten):
        return nn.Flatten()
    if isinstance(node, nir.Delay):
        return Delay(_tensor(np.asarray(node.delay, np.float64) / dt_s, shape))
    if isinstance(node, nir.Scale):
        made: nn.Module = Scale(_tensor(node.scale, shape))
    elif isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        size, stride, padding = (as_pair(v) for v in (node.kernel_size, node.stride, node.padding))
        kind: Any = nn.AvgPool2d if isinstance(node, nir.AvgPool2d) else SumPool2d
        pool: nn.Module = kind(size, stride, padding)
        return pool
    elif isinstance(node, nir.Linear | nir.Affine):
        weight = np.asarray(node.weight, np.float64)
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=isinstance(node, nir.Affine)).double()
        _fill(made, weight, getattr(node, "bias", None))
    else:
        made = _convolution(name, node, shape)
    scale = weight_scale(node)
    if scale is not None:
        register_weight_scale(
            made, torch.from_numpy(scale.copy()) if scale.size > 1 else torch.tensor(float(scale.item()))
        )
    return made


def _tensor(values: Any, shape: Shape) -> Tensor:
    """A scalar if all values are equal, else of that shape; float64."""
    array = np.asarray(values, np.float64)
    return (
        torch.tensor(float(array.reshape(-1)[0]), dtype=torch.float64)
        if not np.ptp(array)
        else torch.from_numpy(np.broadcast_to(array, shape).copy())
    )


def _convolution(name: str, node: Any, shape: Shape) -> nn.Module:
    options = conv_options(name, node, shape)
    flat = isinstance(node, nir.Conv1d)
    weight = options.weight[:, :, 0] if flat else options.weight
    along: list[Any] = [v[1:] if flat else v for v in (options.stride, options.padding, options.dilation)]
    if isinstance(node.padding, str) and options.stride == (1, 1) and weight.shape == node.weight.shape:
        weight, dilation = np.asarray(node.weight, np.float64), as_pair(node.dilation)
        along = [along[0], node.padding, dilation[1:] if flat else dilation]
    kind: Any = nn.Conv1d if flat else nn.Conv2d
    channels = weight.shape[1] * options.groups
    made: nn.Module = kind(
        channels, weight.shape[0], weight.shape[2:], stride=along[0], padding=along[1], dilation=along[2],
        groups=options.groups,
    ).double()  # fmt: skip
    _fill(made, weight, node.bias)
    return made


@torch.no_grad()
def _fill(layer: Any, weight: NDArray[np.float64], bias: Any) -> None:
    layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
    if bias is not None:
        values = np.broadcast_to(np.asarray(bias, np.float64).reshape(-1), (len(weight),))
        layer.bias.copy_(torch.from_numpy(values.copy()))
