"""Quantization-aware training of any spiking network: every layer with weights becomes one with quantized weights.

A population on a chip has one weight scale (or one for each of its output channels). So layers that lead into the same
population share a scale, and a shortcut without weights becomes a factor on the same grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import networkx as nx
import torch
from torch import nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.networks.layer_graph import RESERVED, Node
from neuroprivacy.networks.layers import WEIGHTED, Scale, plain_copy
from neuroprivacy.networks.populations import Population
from neuroprivacy.networks.quantized import (
    SCALE,
    QuantizedScale,
    input_scale,
    pool_factor,
    quantized_layer,
    register_weight_scale,
)
from neuroprivacy.networks.spiking import SpikingNetwork
from neuroprivacy.targets.spec import load_target

_WITH_WEIGHTS = (*WEIGHTED, Scale, QuantizedScale)


def quantize_weights(
    net: SpikingNetwork, bits: WeightBits, *, state_target: str | None = None, populations: int = 1
) -> SpikingNetwork:
    """A network with the same weights, rounded to `bits` in its forward pass: to be trained on.

    Args:
        net: with real or quantized weights; it is not changed.
        bits: 2 ... 8 or "ternary".
        state_target: the target whose integer neurons it computes; None for real ones.
        populations: most populations that each layer may become on the chip, with a scale of its own for each; what is
            read, what shares its scale and what cannot be split stays one.

    Raises:
        ConfigurationError: two layers with weights follow each other without neurons between, or paths into one
            population differ by an average pool: no common scale exists.
    """
    spec = replace(net.spec, weight_bits=bits, state_target=state_target, populations=populations)
    nodes, layers = _with_factors(net)
    plain = SpikingNetwork(net.spec, nodes, layers, outputs=net.outputs)
    found = dict(layers)
    for names in _sharing(plain):
        most = _splits(plain, names, populations)
        found.update(_quantized({name: layers[name] for name in names}, bits, most))
    made = SpikingNetwork(spec, nodes, found, outputs=net.outputs)
    made.recompute = net.recompute
    like = next(net.parameters(), torch.zeros(0))
    return made.to(like.device, like.dtype).eval()


def _with_factors(net: SpikingNetwork) -> tuple[list[Node], dict[str, nn.Module]]:
    """Nodes and copied layers, with a factor of one on every path that reaches a sum without weights."""
    layers = {name: _plain(module) for name, module in net.layers.items()}
    by_name = {node.name: node for node in net.nodes}
    taken = set(by_name)
    nodes: list[Node] = []

    def weightless(name: str) -> bool:
        """Whether a node's values come from an input or neurons without weights between."""
        node = by_name[name]
        if node.kind != "layer":
            return node.kind != "add"  # the summands of a sum have factors of their own
        return not isinstance(layers[name], _WITH_WEIGHTS) and weightless(node.sources[0])

    for node in net.nodes:
        if node.kind != "add":
            nodes.append(node)
            continue
        sources = []
        for source in node.sources:
            if weightless(source):
                name = f"{node.name}_{source}"
                while name in taken or name in RESERVED:
                    name += "_"
                taken.add(name)
                layers[name] = Scale(1.0)
                nodes.append(Node(name=name, kind="layer", sources=(source,), shape=node.shape))
                source = name
            sources.append(source)
        nodes.append(replace(node, sources=tuple(sources)))
    return nodes, layers


def _plain(module: nn.Module) -> nn.Module:
    """A copy of the network with its real weights."""
    if isinstance(module, QuantizedScale):
        return Scale(module.factor)
    if hasattr(module, "quant_weight") and isinstance(module, WEIGHTED):
        copy = plain_copy(module)
        with torch.no_grad():
            copy.weight.copy_(module.weight)
        delattr(copy, "weight_scale")
        return copy.train(module.training)
    return deepcopy(module)


def _sharing(net: SpikingNetwork) -> Iterable[list[str]]:
    """Names of the layers with weights, those together that share a scale, in the network's order."""
    graph = nx.Graph()
    for population in net.plan.populations:
        names = [name for name in population.members if isinstance(net.module_of(name), _WITH_WEIGHTS)]
        _check_paths(net, population)
        nx.add_path(graph, names)
        graph.add_nodes_from(names)
    place = {node.name: i for i, node in enumerate(net.nodes)}
    parts = [sorted(part, key=place.__getitem__) for part in nx.connected_components(graph)]
    return sorted(parts, key=lambda part: place[part[0]])


def _check_paths(net: SpikingNetwork, population: Population) -> None:
    """Refuse what has no common scale: products of weights, and averages beside sums."""
    by_name = {node.name: node for node in net.nodes}
    found: dict[str, set[tuple[int, float]]] = {}

    def visit(name: str) -> set[tuple[int, float]]:
        """Of the paths to a node: how many layers with weights each has, and its factor."""
        node = by_name[name]
        if node.kind == "input":
            return {(0, input_scale(net.spec.coding))}
        if node.kind == "neuron":
            return {(0, 1.0)}
        if name not in found:
            module = net.module_of(name)
            before = set().union(*(visit(source) for source in node.sources))
            more = isinstance(module, _WITH_WEIGHTS)
            factor = 1.0 if module is None else pool_factor(module)
            found[name] = {(count + more, value * factor) for count, value in before}
            if any(count > 1 for count, _ in found[name]):
                raise ConfigurationError(
                    f"{name}: follows another layer with weights without neurons between; their product is not "
                    "quantized; make them one layer"
                )
        return found[name]

    factors = {value for _, value in visit(population.current)}
    if len(factors) > 1 and max(factors) - min(factors) > 1e-9 * max(factors):
        raise ConfigurationError(
            f"{population.name}: an average pool or a graded input stands on some of the paths into it only; they have "
            "no common weight scale; pool behind the sum"
        )


def _splits(net: SpikingNetwork, names: list[str], populations: int) -> int:
    """Most scales of a layer: 1 where lowering keeps its population whole."""
    if populations == 1 or len(names) > 1:
        return 1
    layer = net.module_of(names[0])
    owner = next(p for p in net.plan.populations if names[0] in p.members)
    if not owner.neurons or owner.name in net.outputs or getattr(layer, "groups", 1) > 1:
        return 1
    if not isinstance(layer, WEIGHTED):
        return 1
    channels = layer.weight.shape[0]
    for population in net.plan.populations:
        if owner.name not in population.sources:
            continue
        for name in population.members:
            reader = net.module_of(name)
            if isinstance(reader, Scale) or getattr(reader, "groups", 1) > 1:
                return 1
            if isinstance(reader, nn.Conv1d | nn.Conv2d) and reader.in_channels != channels:
                return 1
    return populations


def _quantized(layers: Mapping[str, nn.Module], bits: WeightBits, populations: int) -> dict[str, nn.Module]:
    """Quantized forms of the layers that share a scale."""
    owner_name = next((name for name, layer in layers.items() if isinstance(layer, WEIGHTED)), None)
    if owner_name is None:
        return {name: _exact(name, layer, layers, bits) for name, layer in layers.items()}
    made: dict[str, Any] = {}
    owner = quantized_layer(layers[owner_name], bits, populations=populations)  # type: ignore[arg-type]
    for name, layer in layers.items():
        if name == owner_name:
            made[name] = owner
        elif isinstance(layer, WEIGHTED):
            made[name] = quantized_layer(layer, bits, shared_with=owner)
        else:
            made[name] = QuantizedScale(layer.factor, owner)  # type: ignore[arg-type]
    if len(layers) > 1:
        _fit_together(made, owner)
    return made


def _exact(name: str, layer: nn.Module, layers: Mapping[str, nn.Module], bits: WeightBits) -> nn.Module:
    """A factor that shares its scale with no weights: the largest integer stands for it."""
    assert isinstance(layer, Scale)
    high = 1 if bits == "ternary" else 2 ** (bits - 1) - 1
    scale = layer.factor.abs().max() / high
    factors = torch.cat([each.factor.reshape(-1) for each in layers.values() if isinstance(each, Scale)])
    if not factors.is_meta and not bool((factors == factors[0]).all()):
        raise ConfigurationError(f"{name}: factors alone lead into its population; give it a layer with weights")
    register_weight_scale(layer, scale)
    return layer


@torch.no_grad()
def _fit_together(made: Mapping[str, Any], owner: Any) -> None:
    """The shared scale with the least squared error of all weights that share it."""
    if owner.weight.is_meta:
        return
    parameter = next(p for name, p in owner.named_parameters() if name.endswith(SCALE))
    weights = [m.factor.reshape(-1) if isinstance(m, QuantizedScale) else m.weight.reshape(-1) for m in made.values()]
    largest = max(float(w.abs().max()) for w in weights)
    start = parameter.clone() * largest / float(owner.weight.abs().max())
    best, least = start.clone(), float("inf")
    for fraction in torch.linspace(1.0, 0.1, 60):
        parameter.copy_(start * fraction)
        error = sum(
            float(((m.quant_weight().value.reshape(-1) - w) ** 2).sum())
            for m, w in zip(made.values(), weights, strict=True)
        )
        if error < least:
            best, least = parameter.clone(), error
    parameter.copy_(best)


@torch.no_grad()
def clamp_biases(net: SpikingNetwork) -> None:
    """Clamp the biases of a network that is trained in integers to what the target's bias registers hold, in place."""
    if net.spec.state_target is None:
        return
    target = load_target(net.spec.state_target)
    largest = ((1 << (target.bias_mantissa_bits - 1)) - 1) << target.bias_exponent_max
    for population in net.plan.populations:
        modules = [net.module_of(name) for name in population.members]
        biased = [m for m in modules if isinstance(m, WEIGHTED) and m.bias is not None]
        scale = net.current_scale(population.current)
        for module in biased:
            # A little less, for single precision.
            limit = scale.reshape(-1) * (1 - 1e-5) * largest / (1 << target.activation_shift) / len(biased)
            assert module.bias is not None
            if limit.numel() > 1:  # flattened maps have a scale for each value; a channel has one bias
                limit = limit.reshape(len(module.bias), -1).amin(1)
            module.bias.clamp_(-limit.to(module.bias), limit.to(module.bias))
