"""Exported networks: open the folder, run it, write `result.npz`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile
from neuroprivacy.core.parallel import Engine
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.core.storage import read_json, write_arrays
from neuroprivacy.data import Dataset, load_spikes
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import load_program
from neuroprivacy.runtime.backend import Artifact
from neuroprivacy.runtime.counts import Counts, join_counts
from neuroprivacy.runtime.sharding import simulate_sharded
from neuroprivacy.runtime.simulation import Simulation, run_batches, simulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """The options of a sharded run; see `simulate_sharded`."""

    engine: Engine
    workers: int = 2
    resume: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Result of running an exported network.

    Attributes:
        readout: int64 (samples, outputs); likewise `prediction` (samples,).
        spikes: uint8 (samples, T, outputs), if they were kept.
        labels: int64 (samples,), if known.
        counts: of the run.
    """

    readout: Int64
    prediction: Int64
    spikes: NDArray[np.uint8] | None
    labels: Int64 | None
    counts: Counts

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions, if labels are known."""
        return None if self.labels is None else float((self.prediction == self.labels).mean())


def open_artifact(folder: Path) -> Artifact:
    """The artifact of a folder that `neuroprivacy export` wrote.

    Raises:
        BadFile: the folder holds no export, or its parts do not belong together.
    """
    described = read_json(folder / "artifact.json")
    nested = folder / "program"
    # An earlier export for another backend may lie in the folder: the hash identifies the program.
    places = [p for p in (folder, nested) if (p / "program.json").exists()]
    matching = [p for p in places if read_json(p / "program.json").get("content_hash") == described.get("content_hash")]
    program = load_program((matching or places or [nested])[0])
    if described.get("content_hash") != program.content_hash or not isinstance(described.get("backend"), str):
        raise BadFile(folder / "artifact.json", "does not belong to the program beside it", hint="export again")
    return Artifact(backend=described["backend"], folder=folder, program=program)


def run_dataset(
    artifact: Artifact, data: Dataset, *, samples: int | None = None, progress: Progress = silent
) -> Outcome:
    """Encode and run the test split."""
    done = simulate(artifact, samples=data.test_images[:samples], progress=progress)
    return _outcome(done, data.test_labels[:samples])


def run_datasets(
    artifacts: Sequence[Artifact],
    data: Dataset,
    *,
    samples: int | None = None,
    shards: Shards | None = None,
    progress: Progress = silent,
) -> list[Outcome]:
    """Encode and run the test split on each artifact, one after another or in shards."""
    if shards is None:
        return [run_dataset(artifact, data, samples=samples, progress=progress) for artifact in artifacts]
    done = simulate_sharded(
        artifacts, samples=data.test_images[:samples], folders=[each.folder / "shards" for each in artifacts],
        engine=shards.engine, workers=shards.workers, resume=shards.resume, progress=progress,
    )  # fmt: skip
    return [_outcome(each, data.test_labels[:samples]) for each in done]


def result_paths(out: Path | None, folders: Sequence[Path]) -> list[Path | None]:
    """The path of each network's result: `out` itself, or, for several, files in it by number and name."""
    if out is None or len(folders) == 1:
        return [out for _ in folders]
    return [out / f"{number}-{folder.resolve().name}.npz" for number, folder in enumerate(folders, 1)]


def _outcome(done: Simulation, labels: Int64) -> Outcome:
    return Outcome(readout=done.readout, prediction=done.prediction, spikes=None, labels=labels, counts=done.counts)


def run_spikes(artifact: Artifact, source: Path, *, samples: int | None = None, progress: Progress = silent) -> Outcome:
    """Run a file of spikes.

    Raises:
        BadFile: the file is no spikes.
        ConfigurationError: they do not fit the network.
    """
    spikes, labels = load_spikes(source)
    spikes = spikes[:samples]
    results = list(run_batches(artifact, lambda here: spikes[here], samples=len(spikes), progress=progress))
    readout, first = np.concatenate([result.readout for result in results]), artifact.program.outputs[0]
    return Outcome(
        readout=readout,
        prediction=readout.argmax(axis=1),
        spikes=np.concatenate([result.spikes[first] for result in results]),
        labels=None if labels is None else labels[:samples].astype(np.int64),
        counts=join_counts([result.counts for result in results]),
    )


def save_result(path: Path, outcome: Outcome) -> None:
    """Write `spikes` (if kept), `readout`, `prediction`, `labels` (if known) and `counts` (JSON text as bytes)."""
    arrays: dict[str, NDArray[np.generic]] = {"readout": outcome.readout, "prediction": outcome.prediction}
    if outcome.spikes is not None:
        arrays["spikes"] = outcome.spikes
    if outcome.labels is not None:
        arrays["labels"] = outcome.labels
    text = json.dumps(outcome.counts.totals(), sort_keys=True).encode()
    arrays["counts"] = np.frombuffer(text, np.uint8)
    write_arrays(path, arrays)
