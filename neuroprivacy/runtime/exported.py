"""Exported networks: open the folder, run it, write `result.npz`."""

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
from neuroprivacy.core.storage import read_json, write_arrays, write_json
from neuroprivacy.data import Dataset, load_spikes
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program, load_program
from neuroprivacy.runtime.backend import Artifact, build, check_inputs
from neuroprivacy.runtime.results import Simulation, join_results
from neuroprivacy.runtime.sharding import simulate_sharded
from neuroprivacy.runtime.simulation import encode_samples, run_batches, simulate

_DESCRIPTION = "artifact.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """The options of a sharded run; see `simulate_sharded`."""

    engine: Engine
    workers: int = 2
    resume: bool = False


def is_exported(folder: Path) -> bool:
    """Whether a folder was written by `write_artifact`."""
    return (folder / _DESCRIPTION).exists()


def write_artifact(program: Program, *, backend: str, folder: Path) -> Artifact:
    """Build a Program into a folder that `open_artifact` opens.

    Raises:
        DoesNotFit: the backend refuses the Program; likewise the other errors of `build`.
    """
    (folder / _DESCRIPTION).unlink(missing_ok=True)
    artifact = build(program, backend=backend, folder=folder)
    write_json(folder / _DESCRIPTION, {"backend": backend, "content_hash": program.content_hash})
    return artifact


def open_artifact(folder: Path) -> Artifact:
    """Open a folder that `write_artifact` (`neuroprivacy export`) wrote.

    Raises:
        BadFile: the folder holds no export, or its parts do not belong together.
    """
    described = read_json(folder / _DESCRIPTION)
    nested = folder / "program"
    # An earlier export for another backend may lie in the folder: the hash identifies the program.
    places = [p for p in (folder, nested) if (p / "program.json").exists()]
    matching = [p for p in places if read_json(p / "program.json").get("content_hash") == described.get("content_hash")]
    program = load_program((matching or places or [nested])[0])
    if described.get("content_hash") != program.content_hash or not isinstance(described.get("backend"), str):
        raise BadFile(folder / _DESCRIPTION, "does not belong to the program beside it", hint="export again")
    return Artifact(backend=described["backend"], folder=folder, program=program)


def run_dataset(
    artifact: Artifact, data: Dataset, *, samples: int | None = None, progress: Progress = silent
) -> Simulation:
    """Encode the test split of a data set and run it."""
    done = simulate(artifact, images=data.test_images[:samples], progress=progress)
    return replace(done, labels=data.test_labels[:samples])


def load_inputs(program: Program, given: Dataset | Path | None, *, samples: int | None = None) -> dict[str, Int64]:
    """Input of a Program by port, int64 (samples, T, neurons of the port).

    Args:
        program: that is to run.
        given: a data set, whose test split is encoded as the Program states, or an npz with `spikes`.
        samples: the first so many.

    Raises:
        BadFile: the file holds no spikes.
        ConfigurationError: the input does not fit the Program.
    """
    if isinstance(given, Dataset):
        return check_inputs(program, encode_samples(program, given.test_images[:samples]))
    return check_inputs(program, load_spikes(given or Path())[0][:samples].astype(np.int64))


def run_exported(
    artifacts: Sequence[Artifact],
    given: Dataset | Path | None,
    *,
    samples: int | None = None,
    shards: Shards | None = None,
    progress: Progress = silent,
) -> list[Simulation]:
    """Run each of some networks on a data set's test split or on a file of spikes.

    Args:
        artifacts: built Programs.
        given: a data set, encoded as each Program states, or an npz with `spikes`.
        samples: the first so many.
        shards: runs a data set in shards; None computes here, one network after another.
        progress: called after each batch or shard.
    """
    if not isinstance(given, Dataset):
        return [run_spikes(each, given or Path(), samples=samples, progress=progress) for each in artifacts]
    data = given
    if shards is None:
        return [run_dataset(artifact, data, samples=samples, progress=progress) for artifact in artifacts]
    done = simulate_sharded(
        artifacts, images=data.test_images[:samples], folders=[each.folder / "shards" for each in artifacts],
        engine=shards.engine, workers=shards.workers, resume=shards.resume, progress=progress,
    )  # fmt: skip
    return [replace(each, labels=data.test_labels[:samples]) for each in done]


def result_paths(out: Path | None, folders: Sequence[Path]) -> list[Path | None]:
    """The path of each network's result: `out` itself, or, for several, files in it by number and name."""
    if out is None or len(folders) == 1:
        return [out for _ in folders]
    return [out / f"{number}-{folder.resolve().name}.npz" for number, folder in enumerate(folders, 1)]


def run_spikes(
    artifact: Artifact, source: Path, *, samples: int | None = None, progress: Progress = silent
) -> Simulation:
    """Run the spikes of a file.

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
