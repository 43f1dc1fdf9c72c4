"""What a population's synaptic input means on a chip: the real value of one integer, and the part that biases make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from neuroprivacy.networks.layer_graph import Node
from neuroprivacy.networks.layers import Delay
from neuroprivacy.networks.quantized import input_scale, layer_scale
from neuroprivacy.program.encoder import Coding

#: The module of a node; None where the node is an input or a sum.
ModuleOf = Callable[[str], nn.Module | None]


def current_scale(name: str, nodes: Mapping[str, Node], module_of: ModuleOf, coding: Coding | None) -> Tensor:
    """The real value of one integer of a node's value on a chip, float64; broadcasts over the node's shape.

    Args:
        name: the node.
        nodes: by name.
        module_of: its module.
        coding: of the inputs.
    """
    node = nodes[name]
    if node.kind == "input":
        return torch.tensor(input_scale(coding), dtype=torch.float64)
    if node.kind == "neuron":
        return torch.ones((), dtype=torch.float64)
    before = current_scale(node.sources[0], nodes, module_of, coding)
    module = module_of(name)
    if isinstance(module, nn.Flatten | nn.Unflatten) and before.numel() > 1:
        before = before.expand(nodes[node.sources[0]].shape).reshape(node.shape)
    return before if module is None else before * layer_scale(module)


@torch.no_grad()
def constant_current(
    name: str, members: Sequence[str], nodes: Mapping[str, Node], module_of: ModuleOf
) -> Tensor | None:
    """The part of a population's current that its biases make, of the population's shape; None without biases.

    Args:
        name: the node whose value is the current.
        members: the nodes between the population's sources and its current.
        nodes: by name.
        module_of: the module of a node.
    """
    modules = [module_of(member) for member in members]
    if all(getattr(module, "bias", None) is None for module in modules):
        return None
    like = next(p for m in modules if m is not None for p in m.parameters())

    @cache
    def value(name: str) -> Tensor:
        """A node's value without input; dropout is left out."""
        node = nodes[name]
        if node.kind in ("input", "neuron"):
            return like.new_zeros(1, *node.shape)
        parts = [value(source) for source in node.sources]
        module = module_of(name)
        if module is None:
            return sum(parts[1:], start=parts[0])
        result: Tensor = parts[0] if isinstance(module, nn.Dropout | Delay) else module(parts[0])
        return result

    return value(name)[0]
