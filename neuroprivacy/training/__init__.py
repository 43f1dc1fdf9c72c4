"""Training: one loop for ANNs, spiking networks and class encryption; resumable to the bit."""

from neuroprivacy.training.accuracy import accuracy, logits
from neuroprivacy.training.fit import FitSettings, fit
from neuroprivacy.training.network import train

__all__ = ["FitSettings", "accuracy", "fit", "logits", "train"]
