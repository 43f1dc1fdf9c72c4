"""NIR in and out: the only exchange format between training and deployment.

Built on nir, h5py and numpy, and on `core`, `kernels` and `program`; torch is not imported: torch networks become
graphs in `neuroprivacy.export`.
"""

from neuroprivacy.graph.file import load_nir, save_nir
from neuroprivacy.graph.metadata import GraphInfo, read_info

__all__ = ["GraphInfo", "load_nir", "read_info", "save_nir"]
