"""Batch norm folded into the layer before it: in eval mode it computes the same function, with a bias.

w' = w γ/√(σ²+ε),  b' = β + (b - μ) γ/√(σ²+ε); computed by torch.nn.utils.fusion.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.networks.layer_graph import LayerGraph, Node
from neuroprivacy.networks.layers import NORMS, WEIGHTED, Weighted, plain_copy
from neuroprivacy.networks.quantized import weight_scale_of


@torch.no_grad()
def folded(where: str, before: object, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Weighted:
    """A copy of a layer that computes what the batch norm behind it made of its values.

    Args:
        where: name of the batch norm, for refusals.
        before: the layer whose output only the batch norm reads.
        norm: taken with its running statistics.

    Raises:
        UnsupportedNode: there is no layer with real weights before it, or it has no running statistics.
    """
    if not isinstance(before, WEIGHTED):
        raise UnsupportedNode(
            f"{where}: batch norm does not follow a convolution or linear layer of its own; it cannot be folded"
        )
    if weight_scale_of(before) is not None:
        raise UnsupportedNode(
            f"{where}: batch norm would change the quantized weights before it; fold it first, then "
            "quantize and train on"
        )
    if norm.running_mean is None or norm.running_var is None:
        raise UnsupportedNode(f"{where}: has no running statistics; train with track_running_stats=True")
    copy = plain_copy(before)
    copy.weight, copy.bias = fuse_conv_bn_weights(  # a linear layer is a convolution of one position
        copy.weight, copy.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return copy


def fold_norms(graph: LayerGraph) -> LayerGraph:
    """The graph with every batch norm folded into the layer before it.

    Raises:
        UnsupportedNode: it does not follow a layer with weights, or that layer's values are read elsewhere, too.
    """
    modules = dict(graph.modules)
    readers = [source for node in graph.nodes for source in node.sources] + list(graph.outputs)
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        sources = tuple(renamed.get(source, source) for source in node.sources)
        norm = modules.get(node.name)
        if not isinstance(norm, NORMS):
            nodes.append(replace(node, sources=sources))
            continue
        before = modules.get(sources[0]) if readers.count(node.sources[0]) == 1 else None
        modules[sources[0]] = folded(node.name, before, norm)
        renamed[node.name] = sources[0]
        del modules[node.name]
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return LayerGraph(nodes=tuple(nodes), modules=modules, outputs=outputs)
