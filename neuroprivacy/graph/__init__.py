"""NIR in and out: the only exchange format between what is trained and what is deployed.

Numpy and nir alone: torch networks become graphs in `neuroprivacy.export`.
"""

from neuroprivacy.graph.file import load_nir, save_nir
from neuroprivacy.graph.metadata import GraphInfo, read_info

__all__ = ["GraphInfo", "load_nir", "read_info", "save_nir"]
