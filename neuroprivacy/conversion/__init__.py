"""ANN to SNN without data: the same weights, spiking neurons, thresholds found on synthetic images."""

from neuroprivacy.conversion.convert import convert
from neuroprivacy.conversion.thresholds import METHODS, ThresholdMethod

__all__ = ["METHODS", "ThresholdMethod", "convert"]
