"""Sharded runs of a test set on processes or Ray: every shard is stored, can be resumed, and is joined in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.core.parallel import Engine, run_tasks
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.core.stages import Stage, stage_key
from neuroprivacy.core.storage import digest, read_arrays, write_arrays
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Artifact
from neuroprivacy.runtime.counts import Counts, LayerCounts, Observed
from neuroprivacy.runtime.results import Simulation, join_results
from neuroprivacy.runtime.simulation import simulate

#: Samples of one shard.
SHARD = 500
_OBSERVED = tuple(Observed.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shard:
    """The samples of one shard."""

    artifact: Artifact
    images: NDArray[np.float32]
    first: int


def simulate_sharded(
    artifacts: Sequence[Artifact],
    *,
    images: NDArray[np.float32],
    folders: Sequence[Path],
    engine: Engine = "local",
    workers: int = 2,
    shard: int = SHARD,
    resume: bool = False,
    progress: Progress = silent,
) -> list[Simulation]:
    """The result of `simulate` for each of several Programs, computed shard by shard.

    Args:
        artifacts: built Programs with encoders; on a cluster every worker must have access to their folders, unless
            the backend needs the Program alone (`fixedpoint`, `reference`).
        images: (samples, *shape) in [0, 1], for all of them.
        folders: one for each, for the results of its shards.
        engine: see `run_tasks`; likewise `workers`.
        shard: samples of one shard.
        resume: reuse the shards that an interrupted run left in its folder.
        progress: called after each shard.

    Raises:
        BadFile: a folder holds shards of another run, with `resume`.
        ConfigurationError: there are no samples, a shard has none, or two Programs share a folder.
    """
    if not len(images) or shard < 1:
        raise ConfigurationError(f"simulate: {len(images)} samples in shards of {shard} cannot be run")
    distinct = len({folder.resolve() for folder in folders})
    if distinct != len(artifacts):
        raise ConfigurationError(f"simulate: {len(artifacts)} programs need as many folders, {distinct} given")
    starts, own = range(0, len(images), shard), digest(np.ascontiguousarray(images).tobytes())
    missing = []
    for artifact, folder in zip(artifacts, folders, strict=True):
        identity = {
            "backend": artifact.backend, "program": artifact.program.content_hash, "shard": shard, "samples": own,
        }  # fmt: skip
        kept = _kept(folder, identity, starts, resume)
        missing += [(artifact, folder, first) for first in starts if first not in kept]
    total = len(artifacts) * len(starts)
    done = total - len(missing)
    tasks = [
        _Shard(artifact=artifact, images=images[first : first + shard], first=first) for artifact, _, first in missing
    ]
    for number, result in run_tasks(_compute, tasks, engine=engine, workers=workers) if tasks else ():
        artifact, folder, first = missing[number]
        write_arrays(_path(folder, first), _to_arrays(result, artifact.program))
        done += 1
        progress(done, total, f"{artifact.backend}, shards")
    return [_joined(folder, starts, artifact.program) for artifact, folder in zip(artifacts, folders, strict=True)]


def _joined(folder: Path, starts: range, program: Program) -> Simulation:
    """The shards of a folder as one."""
    return join_results([_from_arrays(_path(folder, first), program) for first in starts])


def _compute(shard: _Shard) -> Simulation:
    """Run one shard, in a worker process."""
    return simulate(shard.artifact, images=shard.images, first=shard.first)


def _path(folder: Path, first: int) -> Path:
    return folder / f"shard-{first:08d}.npz"


def _kept(folder: Path, identity: dict[str, Any], starts: range, resume: bool) -> set[int]:
    """First samples of the shards that are there; a new run begins with none."""
    stage = Stage(folder=folder, key=stage_key(identity))
    if resume:
        stage.refuse_other_key()
        if stage.is_begun:
            return {first for first in starts if _path(folder, first).exists()}
    for path in (*folder.glob("shard-*.npz"), folder / "shards.json"):  # the latter: of version 0.1
        path.unlink(missing_ok=True)
    stage.begin()
    return set()


def _to_arrays(result: Simulation, program: Program) -> dict[str, NDArray[Any]]:
    """A shard's result as arrays, layers and ports by number."""
    arrays: dict[str, NDArray[Any]] = {"readout": result.readout, "steps": np.array([result.counts.steps])}
    arrays["versions"] = np.frombuffer(json.dumps(dict(result.versions), sort_keys=True).encode(), np.uint8)
    for i, port in enumerate(program.inputs):
        arrays[f"input{i}"] = result.counts.inputs[port.name]
    for i, layer in enumerate(program.layers):
        counts = result.counts.layers[layer.name]
        arrays[f"layer{i}.spikes"], arrays[f"layer{i}.updates"] = counts.spikes, counts.updates
        arrays[f"layer{i}.operations"] = np.stack(counts.edge_operations)
        if counts.observed is not None:
            arrays[f"layer{i}.observed"] = np.stack([getattr(counts.observed, name) for name in _OBSERVED])
    return arrays


def _from_arrays(path: Path, program: Program) -> Simulation:
    """The inverse of `_to_arrays`.

    Raises:
        BadFile: the file is damaged.
    """
    arrays = read_arrays(path)
    try:
        layers = {}
        for i, layer in enumerate(program.layers):
            each, seen = arrays[f"layer{i}.operations"], arrays.get(f"layer{i}.observed")
            layers[layer.name] = LayerCounts(
                spikes=arrays[f"layer{i}.spikes"], operations=each.sum(axis=0), edge_operations=tuple(each),
                updates=arrays[f"layer{i}.updates"],
                observed=None if seen is None else Observed(**dict(zip(_OBSERVED, seen, strict=True))),
            )  # fmt: skip
        inputs = {port.name: arrays[f"input{i}"] for i, port in enumerate(program.inputs)}
        return Simulation(
            readout=arrays["readout"],
            counts=Counts(steps=int(arrays["steps"][0]), inputs=inputs, layers=layers),
            versions=json.loads(arrays["versions"].tobytes()),
        )  # fmt: skip
    except (KeyError, ValueError, TypeError) as error:
        raise BadFile(path, "is not a shard's result", hint="remove it and run again with --resume") from error
