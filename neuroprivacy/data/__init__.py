"""Data sets and spike recordings, read with distrust and handed on as read-only numpy arrays.

    load_dataset("digits")                        embedded: digits, iris, breast-cancer
    load_dataset("mnist", data_root=Path(...))    files: mnist, fashion-mnist, cifar-10, cifar-100
    load_spikes(path), read_nmnist(path)          event recordings

Nothing here depends on torch, and nothing is unpickled.
"""

from neuroprivacy.data.events import load_spikes, save_spikes
from neuroprivacy.data.idx import read_idx
from neuroprivacy.data.nmnist import EVENT_DTYPE, bin_events, read_nmnist
from neuroprivacy.data.registry import dataset_names, load_dataset
from neuroprivacy.data.types import VALUE_RANGE, Dataset

__all__ = [
    "EVENT_DTYPE",
    "VALUE_RANGE",
    "Dataset",
    "bin_events",
    "dataset_names",
    "load_dataset",
    "load_spikes",
    "read_idx",
    "read_nmnist",
    "save_spikes",
]
