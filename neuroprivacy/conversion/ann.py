"""A user's ANN as a layer graph that can be converted: one input, one flat result, the same function as the module."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.networks.layer_graph import LayerGraph, Shape
from neuroprivacy.networks.tracing import trace_layers

#: Samples on which the graph is compared with the module, and the largest relative difference of rounding.
_COMPARED, _ROUNDING = 32, 1e-3


def trace_ann(module: nn.Module, *, input_shape: Shape) -> LayerGraph:
    """A module's forward as a layer graph, batch norm folded; the module is not changed.

    Args:
        module: an ANN that torch.fx can trace; taken as it is in eval mode.
        input_shape: of one sample.

    Raises:
        UnsupportedNode: the forward cannot be traced, or a layer or function of it has no spiking form.
    """
    graph = trace_layers(module, input_shape=input_shape)
    for node in graph.nodes:
        if node.kind == "neuron":
            raise UnsupportedNode(f"{node.name}: is a spiking neuron already; export this network with to_nir")
    if len(graph.last.shape) != 1:
        raise UnsupportedNode(f"output: has the shape {graph.last.shape}; end in Flatten and Linear")
    return graph


def must_compute_the_same(graph: LayerGraph, module: nn.Module, images: Tensor) -> None:
    """Compare the graph with the module on a few samples.

    Raises:
        UnsupportedNode: they differ, which in-place operations and layers with a forward of their own can cause.
    """
    own = deepcopy(module).cpu().float().eval()
    for part in own.modules():
        proxy = getattr(part, "act_quant", None)
        if proxy is not None:  # activations become spikes, whatever their width was
            proxy.disable_quant = True
    x = images[:_COMPARED]
    with torch.no_grad():
        expected = own(x)
    expected = getattr(expected, "value", expected)  # brevitas can return a tensor with its scale
    found = graph.run(x)[graph.outputs[0]]
    if found.shape == expected.shape:
        difference = float((found - expected).abs().max()) / max(float(expected.abs().max()), 1e-30)
        if difference <= _ROUNDING:
            return
        what = f"differs by {difference:.1%}"
    else:
        what = f"has the shape {tuple(found.shape)} and not {tuple(expected.shape)}"
    raise UnsupportedNode(
        f"{type(module).__name__}: what was traced {what} from what the module computes; write in-place operations "
        "(inplace=True, +=) as plain ones, and give a forward that does not depend on the batch"
    )
