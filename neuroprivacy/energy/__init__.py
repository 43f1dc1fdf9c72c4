"""Energy of one inference, estimated from counted operations under several cost models at once.

No figure is given alone: the same spikes cost or save energy depending on whose constants are taken.
"""

from neuroprivacy.energy.costs import COST_MODELS, ChipCosts, CostModel, chip_costs
from neuroprivacy.energy.macs import ann_macs, layer_macs
from neuroprivacy.energy.measure import measure_energy
from neuroprivacy.energy.model import ChipEnergy, EnergyReport, ModelEnergy
from neuroprivacy.energy.work import LayerWork, Work

__all__ = [
    "COST_MODELS",
    "ChipCosts",
    "ChipEnergy",
    "CostModel",
    "EnergyReport",
    "LayerWork",
    "ModelEnergy",
    "Work",
    "ann_macs",
    "chip_costs",
    "layer_macs",
    "measure_energy",
]
