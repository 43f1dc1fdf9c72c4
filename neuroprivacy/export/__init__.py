"""Torch networks to NIR and back: our spiking networks, and modules of snnTorch neurons."""

from neuroprivacy.export.network import to_nir

__all__ = ["to_nir"]
