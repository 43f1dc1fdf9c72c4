"""The divergence of two runs of one network: the first time step, layer and neuron, both values, and the causes."""

from neuroprivacy.divergence.compare import Divergence, DivergenceReport, LayerDivergence, trace
from neuroprivacy.divergence.runs import RUNS, Run

__all__ = ["RUNS", "Divergence", "DivergenceReport", "LayerDivergence", "Run", "trace"]
