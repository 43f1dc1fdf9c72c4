"""Lowering: a NIR graph becomes a Program for a target. The order of all passes stands in `pipeline.py`."""

from neuroprivacy.lowering.ir import Lowered
from neuroprivacy.lowering.options import LowerOptions
from neuroprivacy.lowering.pipeline import (
    PASSES,
    Pass,
    continuous_network,
    lower,
    quantized_network,
    real_network,
    scheduled_network,
)

__all__ = [
    "PASSES",
    "LowerOptions",
    "Lowered",
    "Pass",
    "continuous_network",
    "lower",
    "quantized_network",
    "real_network",
    "scheduled_network",
]
