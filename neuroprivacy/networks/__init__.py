"""Networks in torch: ANN families, spiking networks, surrogates, checkpoints."""

from neuroprivacy.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from neuroprivacy.networks.device import check_device, set_threads
from neuroprivacy.networks.families import Ann, ModelSpec, build_ann, family_names, model_spec
from neuroprivacy.networks.neuron import SpikingNeuron
from neuroprivacy.networks.recording import recorded_spikes
from neuroprivacy.networks.spiking import SpikingNet, SpikingOutput, SpikingSpec
from neuroprivacy.networks.spiking_graph import SpikingGraph, Step
from neuroprivacy.networks.surrogate import Surrogate, surrogate_names

#: Any spiking network of ours.
Spiking = SpikingNet | SpikingGraph

__all__ = [
    "Ann",
    "Checkpoint",
    "ModelSpec",
    "Spiking",
    "SpikingGraph",
    "SpikingNet",
    "SpikingNeuron",
    "SpikingOutput",
    "SpikingSpec",
    "Step",
    "Surrogate",
    "build_ann",
    "check_device",
    "family_names",
    "load_checkpoint",
    "model_spec",
    "recorded_spikes",
    "save_checkpoint",
    "set_threads",
    "surrogate_names",
]
