"""neuroprivacy: spiking networks from a trained ANN to the integers a chip computes, with measured privacy.

The public functions are flat here and loaded on first use, so that importing the package costs nothing:

    train ─► synthesize ─► convert ─► encrypt ─► to_nir ─► lower ─► build ─► run ─► report
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A type checker would take these for the subpackages of the same names.
    from neuroprivacy.lower import lower as lower
    from neuroprivacy.simulate import simulate as simulate
    from neuroprivacy.train import train as train

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
    "trace": "neuroprivacy.trace",
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


class _FrontDoor(ModuleType):
    """This package: a public function is not hidden by the subpackage of the same name once that is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _PUBLIC or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
