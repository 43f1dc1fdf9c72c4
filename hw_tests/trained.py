"""Trained networks that are kept in models/, and samples for them."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np

from neuroprivacy.data import Dataset, load_dataset
from neuroprivacy.export.network import to_nir
from neuroprivacy.lowering import lower
from neuroprivacy.networks import load_checkpoint
from neuroprivacy.program import Program

MODELS = Path(__file__).parent / "models"
#: Folder in models/ -> data set.
NETWORKS = {"digits-convnet": "digits", "mnist-convnet": "mnist"}


@cache
def trained_program(name: str, target: str = "loihi2") -> Program:
    """The integers of a trained network."""
    return lower(to_nir(load_checkpoint(MODELS / name).spiking), target=target).program


@cache
def data_of(name: str) -> Dataset | None:
    """The data set of a network; None where it is not here."""
    if NETWORKS[name] == "digits":
        return load_dataset("digits")
    return load_dataset(NETWORKS[name]) if os.environ.get("NEUROPRIVACY_DATA") else None


def images(name: str, count: int) -> np.ndarray | None:
    """The first test images; None where the data set is not here."""
    data = data_of(name)
    return None if data is None else data.test_images[:count]


def drawn_images(name: str, count: int) -> np.ndarray:
    """Images of noise: integers are compared all the same."""
    shape = trained_program(name).inputs[0].shape
    return np.random.default_rng(0).random((count, *shape)).astype(np.float32)
