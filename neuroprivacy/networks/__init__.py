"""Networks in torch: ANN families, the spiking network, its neurons and surrogates, tracing, checkpoints."""

from neuroprivacy.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from neuroprivacy.networks.device import check_device, set_threads
from neuroprivacy.networks.families import (
    Ann,
    ModelSpec,
    build_ann,
    build_snn,
    family_names,
    model_spec,
    sequential_network,
)
from neuroprivacy.networks.layer_graph import LayerGraph, Node
from neuroprivacy.networks.neuron import SpikingNeuron
from neuroprivacy.networks.quantize import quantize_weights
from neuroprivacy.networks.recording import recorded_spikes
from neuroprivacy.networks.spec import Schedule, SpikingSpec
from neuroprivacy.networks.spiking import SpikingNetwork, SpikingOutput, spiking_input
from neuroprivacy.networks.surrogate import Surrogate, surrogate_names

__all__ = [
    "Ann",
    "Checkpoint",
    "LayerGraph",
    "ModelSpec",
    "Node",
    "Schedule",
    "SpikingNetwork",
    "SpikingNeuron",
    "SpikingOutput",
    "SpikingSpec",
    "Surrogate",
    "build_ann",
    "build_snn",
    "check_device",
    "family_names",
    "load_checkpoint",
    "model_spec",
    "quantize_weights",
    "recorded_spikes",
    "save_checkpoint",
    "sequential_network",
    "set_threads",
    "spiking_input",
    "surrogate_names",
]
