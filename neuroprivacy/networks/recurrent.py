"""A recurrent network of current-based neurons, a family of its own: it reads an input row by row.

    u[t] = α u[t-1] + W x[t] + V z[t-1]      v[t] = β v[t-1] + u[t]      z[t] = v[t] > θ, then v := 0
    y    = membrane of a leaky readout after the last row

Input and recurrent weights lead into one population, whose weights have one scale on a chip.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import skip_init

from neuroprivacy.networks.layer_graph import Node
from neuroprivacy.networks.neuron import SpikingNeuron
from neuroprivacy.networks.spec import SpikingSpec
from neuroprivacy.networks.spiking import SpikingNetwork
from neuroprivacy.networks.surrogate import Surrogate

#: Decay factors that 12 bits hold exactly: what a chip can compute is best trained.
ALPHA, BETA, READOUT_BETA = 1 - 1638 / 4096, 1 - 410 / 4096, 1 - 205 / 4096


def recurrent_network(*, inputs: int, hidden: int, outputs: int, time_steps: int, seed: int) -> SpikingNetwork:
    """Build a recurrent network with new weights.

    Args:
        inputs: values of one row.
        hidden: neurons.
        outputs: of the readout.
        time_steps: rows.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    both = nn.Linear(inputs + hidden, hidden, bias=False)
    # Both parts of one matrix: drawn together, as wide as all that leads into the population.
    forward, back = (skip_init(nn.Linear, n, hidden, bias=False) for n in (inputs, hidden))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        forward.weight.copy_(both.weight[:, :inputs])
        back.weight.copy_(both.weight[:, inputs:])
    layers = {
        "w": forward,
        "v": back,
        "hidden": SpikingNeuron(alpha=ALPHA, beta=BETA, surrogate=Surrogate(name="atan")),
        "fc": nn.Linear(hidden, outputs, bias=False),
        "readout": SpikingNeuron(beta=READOUT_BETA, fires=False),
    }
    nodes = [
        Node(name="input", kind="input", sources=(), shape=(inputs,)),
        Node(name="w", kind="layer", sources=("input",), shape=(hidden,)),
        Node(name="v", kind="layer", sources=("hidden",), shape=(hidden,)),
        Node(name="sum", kind="add", sources=("w", "v"), shape=(hidden,)),
        Node(name="hidden", kind="neuron", sources=("sum",), shape=(hidden,)),
        Node(name="fc", kind="layer", sources=("hidden",), shape=(outputs,)),
        Node(name="readout", kind="neuron", sources=("fc",), shape=(outputs,)),
    ]
    return SpikingNetwork(SpikingSpec(coding=None, time_steps=time_steps), nodes, layers)
