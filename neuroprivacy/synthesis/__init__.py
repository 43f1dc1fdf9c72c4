"""Inputs optimised against a network, without training data: class impressions."""

from neuroprivacy.synthesis.class_impressions import SynthesisSettings, SyntheticSet, load_synthetic, synthesize

__all__ = ["SynthesisSettings", "SyntheticSet", "load_synthetic", "synthesize"]
