"""Torch networks to NIR and back: our spiking networks, and modules of snnTorch neurons."""

from neuroprivacy.export.graph import from_nir
from neuroprivacy.export.network import to_nir

__all__ = ["from_nir", "to_nir"]
