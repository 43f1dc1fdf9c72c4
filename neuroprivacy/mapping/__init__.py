"""Mapping of a network to a chip's cores: an estimate from counts and public limits."""

from neuroprivacy.mapping.demand import Demand, demand_of
from neuroprivacy.mapping.place import place
from neuroprivacy.mapping.placement import Core, LayerUse, Placement, Use

__all__ = ["Core", "Demand", "LayerUse", "Placement", "Use", "demand_of", "place"]
