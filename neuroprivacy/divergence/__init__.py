"""Where two runs of one network part: the first step, layer and neuron, the values on both sides, and why."""

from neuroprivacy.divergence.compare import Divergence, LayerTrace, Trace, trace
from neuroprivacy.divergence.sides import SIDES, Side

__all__ = ["SIDES", "Divergence", "LayerTrace", "Side", "Trace", "trace"]
