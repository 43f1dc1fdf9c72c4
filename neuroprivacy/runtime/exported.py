"""Exported networks: opening what `export` wrote, running it, and writing `result.npz`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile
from neuroprivacy.core.parallel import Engine
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.core.storage import read_json, write_arrays
from neuroprivacy.data import Dataset, load_spikes
from neuroprivacy.program import load_program
from neuroprivacy.runtime.backend import Artifact
from neuroprivacy.runtime.results import Simulation, join_results
from neuroprivacy.runtime.sharding import simulate_sharded
from neuroprivacy.runtime.simulation import run_batches, simulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """Running in shards; see `simulate_sharded`."""

    engine: Engine
    workers: int = 2
    resume: bool = False


def open_artifact(folder: Path) -> Artifact:
    """What `neuroprivacy export` wrote.

    Raises:
        BadFile: the folder holds no export, or its parts do not belong together.
    """
    described = read_json(folder / "artifact.json")
    nested = folder / "program"
    # A folder may have been exported into before, for another backend: the hash says which program belongs.
    places = [p for p in (folder, nested) if (p / "program.json").exists()]
    matching = [p for p in places if read_json(p / "program.json").get("content_hash") == described.get("content_hash")]
    program = load_program((matching or places or [nested])[0])
    if described.get("content_hash") != program.content_hash or not isinstance(described.get("backend"), str):
        raise BadFile(folder / "artifact.json", "does not belong to the program beside it", hint="export again")
    return Artifact(backend=described["backend"], folder=folder, program=program)


def run_dataset(
    artifact: Artifact, data: Dataset, *, samples: int | None = None, progress: Progress = silent
) -> Simulation:
    """Encode and run the test split."""
    done = simulate(artifact, samples=data.test_images[:samples], progress=progress)
    return replace(done, labels=data.test_labels[:samples])


def run_datasets(
    artifacts: Sequence[Artifact],
    data: Dataset,
    *,
    samples: int | None = None,
    shards: Shards | None = None,
    progress: Progress = silent,
) -> list[Simulation]:
    """Encode and run the test split for each: here one after another, or in shards."""
    if shards is None:
        return [run_dataset(artifact, data, samples=samples, progress=progress) for artifact in artifacts]
    done = simulate_sharded(
        artifacts, samples=data.test_images[:samples], folders=[each.folder / "shards" for each in artifacts],
        engine=shards.engine, workers=shards.workers, resume=shards.resume, progress=progress,
    )  # fmt: skip
    return [replace(each, labels=data.test_labels[:samples]) for each in done]


def result_paths(out: Path | None, folders: Sequence[Path]) -> list[Path | None]:
    """Where the result of each network goes: `out` itself, or, of several, files in it by number and name."""
    if out is None or len(folders) == 1:
        return [out for _ in folders]
    return [out / f"{number}-{folder.resolve().name}.npz" for number, folder in enumerate(folders, 1)]


def run_spikes(
    artifact: Artifact, source: Path, *, samples: int | None = None, progress: Progress = silent
) -> Simulation:
    """Run a file of spikes.

    Raises:
        BadFile: the file is no spikes.
        ConfigurationError: they do not fit the network.
    """
    spikes, labels = load_spikes(source)
    spikes = spikes[:samples]
    results = list(run_batches(artifact, lambda here: spikes[here], samples=len(spikes), progress=progress))
    first = artifact.program.outputs[0]
    return join_results(
        results, spikes=np.concatenate([result.spikes[first] for result in results]),
        labels=None if labels is None else labels[:samples].astype(np.int64),
    )  # fmt: skip


def save_result(path: Path, result: Simulation) -> None:
    """Write `spikes` (if kept), `readout`, `prediction`, `labels` (if known) and `counts` (JSON text as bytes)."""
    arrays: dict[str, NDArray[np.generic]] = {"readout": result.readout, "prediction": result.prediction}
    if result.spikes is not None:
        arrays["spikes"] = result.spikes
    if result.labels is not None:
        arrays["labels"] = result.labels
    text = json.dumps(result.counts.totals(), sort_keys=True).encode()
    arrays["counts"] = np.frombuffer(text, np.uint8)
    write_arrays(path, arrays)
