"""neuroprivacy: spiking networks from a trained ANN to the integers a chip computes, with measured privacy.

The public functions are flat here and loaded on first use, so that importing the package costs nothing:

    train ─► synthesize ─► convert ─► encrypt ─► to_nir ─► lower ─► build ─► run ─► report
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

#: Public name -> module that defines it. One place, so that `__all__`, lazy loading and the docs agree.
_PUBLIC = {
    "Backend": "neuroprivacy.backend",
    "Issue": "neuroprivacy.errors",
    "NeuroPrivacyError": "neuroprivacy.errors",
    "Program": "neuroprivacy.program",
    "RunResult": "neuroprivacy.backend",
    "TargetSpec": "neuroprivacy.target",
    "build": "neuroprivacy.backend",
    "convert": "neuroprivacy.conversion",
    "encrypt": "neuroprivacy.encryption",
    "load_checkpoint": "neuroprivacy.nets",
    "load_dataset": "neuroprivacy.data",
    "load_nir": "neuroprivacy.graph",
    "load_program": "neuroprivacy.program",
    "load_target": "neuroprivacy.target",
    "lower": "neuroprivacy.lower",
    "measure_energy": "neuroprivacy.energy",
    "run": "neuroprivacy.backend",
    "save_checkpoint": "neuroprivacy.nets",
    "save_nir": "neuroprivacy.graph",
    "simulate": "neuroprivacy.simulate",
    "synthesize": "neuroprivacy.synthesis",
    "to_nir": "neuroprivacy.graph.torch_export",
    "train": "neuroprivacy.train",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'neuroprivacy' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
