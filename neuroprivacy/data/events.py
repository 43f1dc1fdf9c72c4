"""Spike recordings as npz files: what `--input` reads, and what a user's own recording must look like.

    spikes   unsigned integers (samples, steps, *shape of one step): how many spikes in that step
    labels   integers (samples,), optional: the class of each sample, 0 or more

Signed counts are refused unless asked for: a negative spike has no meaning on a chip without signed spikes,
and it most often means that somebody saved something else. Other arrays in the file are left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core import storage
from neuroprivacy.core.errors import BadFile, ConfigurationError

Spikes = NDArray[np.integer[Any]]
_MAX_LABEL = int(np.iinfo(np.int64).max)


def load_spikes(path: Path, *, allow_signed: bool = False) -> tuple[Spikes, NDArray[np.int64] | None]:
    """Read a spike file: spikes and, where it has them, labels.

    Args:
        path: the npz file.
        allow_signed: accept signed integers too, for targets with signed spikes.

    Returns:
        spikes: in the file's own dtype, (samples, steps, *shape), read-only.
        labels: int64 (samples,), read-only; None where the file has none.

    Raises:
        BadFile: the file is missing, damaged, without `spikes`, or an array is not as stated here.
    """
    arrays = storage.read_arrays(path)
    if "spikes" not in arrays:
        raise BadFile(path, f"has no array 'spikes' (it has {', '.join(sorted(arrays)) or 'none'})")
    spikes, labels = arrays["spikes"], arrays.get("labels")
    fault = _fault(spikes, labels, allow_signed=allow_signed)
    if fault:
        raise BadFile(path, fault)
    spikes.setflags(write=False)
    if labels is not None:
        labels = labels.astype(np.int64)
        labels.setflags(write=False)
    return spikes, labels


def save_spikes(
    path: Path, *, spikes: Spikes, labels: NDArray[np.integer[Any]] | None = None, allow_signed: bool = False
) -> None:
    """Write a spike file in one step; `load_spikes` gives the same arrays back.

    Args:
        path: the npz file; written under exactly this name.
        spikes: unsigned integers (samples, steps, *shape), no axis empty.
        labels: integers (samples,), 0 or more; None leaves them out.
        allow_signed: accept signed spikes too.

    Raises:
        ConfigurationError: an array is not as stated here.
    """
    fault = _fault(spikes, labels, allow_signed=allow_signed)
    if fault:
        raise ConfigurationError(f"{path}: {fault}")
    arrays: dict[str, NDArray[Any]] = {"spikes": spikes}
    if labels is not None:
        arrays["labels"] = labels.astype(np.int64)
    storage.write_arrays(path, arrays)


def _fault(spikes: NDArray[Any], labels: NDArray[Any] | None, *, allow_signed: bool) -> str:
    """What is wrong with the arrays, as the end of an error sentence; empty if nothing is."""
    if spikes.dtype.kind not in ("ui" if allow_signed else "u"):
        wanted = "integers" if allow_signed else "unsigned integers"
        return f"spikes are {spikes.dtype} where {wanted} are expected"
    if spikes.ndim < 3 or 0 in spikes.shape:
        return f"spikes have the shape {spikes.shape} where (samples, steps, *shape) is expected, no axis empty"
    if labels is None:
        return ""
    if labels.dtype.kind not in "ui" or labels.shape != spikes.shape[:1]:
        return f"labels are {labels.dtype} {labels.shape} where integers {spikes.shape[:1]} are expected"
    if int(labels.min()) < 0 or int(labels.max()) > _MAX_LABEL:
        return f"labels range from {labels.min()} to {labels.max()} where 0 to {_MAX_LABEL} is expected"
    return ""
