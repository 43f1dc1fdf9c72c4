"""The integer network of a chip, frozen.

`docs/reference/SEMANTICS.md` defines the integers, `neuroprivacy.runtime.reference` computes them.
"""

from neuroprivacy.program.file import load_program, save_program
from neuroprivacy.program.maps import ConvMap, DenseMap, LinearMap
from neuroprivacy.program.network import Edge, Layer, Port, Program, check_program
from neuroprivacy.program.order import run_order
from neuroprivacy.program.unroll import unroll
from neuroprivacy.program.widths import fits_32_bits, largest_inputs, membrane_bound

__all__ = [
    "ConvMap",
    "DenseMap",
    "Edge",
    "Layer",
    "LinearMap",
    "Port",
    "Program",
    "check_program",
    "fits_32_bits",
    "largest_inputs",
    "load_program",
    "membrane_bound",
    "run_order",
    "save_program",
    "unroll",
]
