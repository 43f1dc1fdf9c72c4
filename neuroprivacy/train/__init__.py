"""Training: one loop for ANNs, spiking networks and class encryption; resumable to the bit."""

from neuroprivacy.train.accuracy import accuracy, logits
from neuroprivacy.train.fit import FitSettings, fit
from neuroprivacy.train.network import train

__all__ = ["FitSettings", "accuracy", "fit", "logits", "train"]
