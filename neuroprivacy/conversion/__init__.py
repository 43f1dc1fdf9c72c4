"""ANN to SNN without data: the same weights, spiking neurons, thresholds found on synthetic images."""

from neuroprivacy.conversion.convert import convert
from neuroprivacy.conversion.fold import fold_batch_norm
from neuroprivacy.conversion.thresholds import METHODS, ThresholdMethod

__all__ = ["METHODS", "ThresholdMethod", "convert", "fold_batch_norm"]
