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
    "Backend": "neuroprivacy.runtime.backend",
    "Issue": "neuroprivacy.core.errors",
    "NeuroPrivacyError": "neuroprivacy.core.errors",
    "Program": "neuroprivacy.program",
    "RunResult": "neuroprivacy.runtime.backend",
    "TargetSpec": "neuroprivacy.targets.spec",
    "build": "neuroprivacy.runtime.backend",
    "convert": "neuroprivacy.conversion",
    "encrypt": "neuroprivacy.encryption.class_encryption",
    "load_checkpoint": "neuroprivacy.networks",
    "load_dataset": "neuroprivacy.data",
    "load_nir": "neuroprivacy.graph",
    "load_program": "neuroprivacy.program",
    "load_target": "neuroprivacy.targets.spec",
    "lower": "neuroprivacy.lowering",
    "measure_energy": "neuroprivacy.energy",
    "run": "neuroprivacy.runtime.backend",
    "save_checkpoint": "neuroprivacy.networks",
    "save_nir": "neuroprivacy.graph",
    "simulate": "neuroprivacy.runtime.simulation",
    "synthesize": "neuroprivacy.synthesis.class_impressions",
    "to_nir": "neuroprivacy.export.network",
    "trace": "neuroprivacy.divergence",
    "train": "neuroprivacy.training",
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
