"""Training: one loop for ANNs, spiking networks and class encryption; resumable to the bit."""

from neuroprivacy.training.accuracy import accuracy, logits
from neuroprivacy.training.events import event_logits, train_on_events
from neuroprivacy.training.fit import FitSettings, fit
from neuroprivacy.training.network import train

__all__ = ["FitSettings", "accuracy", "event_logits", "fit", "logits", "train", "train_on_events"]
