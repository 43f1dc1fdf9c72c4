"""Networks in torch: ANN families, spiking networks, surrogates, checkpoints."""

from neuroprivacy.nets.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from neuroprivacy.nets.device import check_device, set_threads
from neuroprivacy.nets.families import Ann, ModelSpec, build_ann, family_names, model_spec
from neuroprivacy.nets.neuron import SpikingNeuron
from neuroprivacy.nets.recording import recorded_spikes
from neuroprivacy.nets.spiking import SpikingNet, SpikingOutput, SpikingSpec
from neuroprivacy.nets.spiking_graph import SpikingGraph, Step
from neuroprivacy.nets.surrogate import Surrogate, surrogate_names

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
