"""The backend: refuses what Lava does not support, runs the rest in the worker, and reads its results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroprivacy.core.errors import Issue, WorkerFailed
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program, largest_inputs
from neuroprivacy.runtime.backend import Artifact, Inputs, Record, RunResult, read_out
from neuroprivacy.runtime.counts import EventTally, count
from neuroprivacy_lava.export import export
from neuroprivacy_lava.worker_process import WorkerProcess

#: Lava computes u in 32 bits after a left shift of 6. Synaptic input of this size and more would overflow silently.
MAX_ACTIVATION = 2**24


class LavaBackend:
    """Runs a Program on lava-nc's fixed-point processes."""

    def __init__(self, worker: WorkerProcess | None = None) -> None:
        self._worker = worker

    def check(self, program: Program) -> tuple[Issue, ...]:
        """Lava supports Loihi's arithmetic only, with delays of at least 1 and 32-bit synaptic input."""
        if program.target.current_bits != 24 or program.target.edge_delay_min != 1:
            return (
                Issue(
                    where="target",
                    what=f"{program.target.name} does not have the arithmetic that Lava simulates",
                    hint="lower for loihi2 or loihi2-soft",
                ),
            )
        found = []
        largest = largest_inputs(program)
        for layer in program.layers:
            bound = layer.activation_bound(largest)
            if bound >= MAX_ACTIVATION:
                found.append(
                    Issue(
                        where=layer.name,
                        what="the largest synaptic sum",
                        value=bound,
                        limit=MAX_ACTIVATION - 1,
                        hint="Lava's 32-bit arithmetic would overflow; use smaller input values",
                    )
                )
            if not layer.fires and int(layer.threshold.min()) != program.target.threshold_max:
                found.append(
                    Issue(
                        where=layer.name,
                        what="a silent layer needs the largest threshold",
                        value=int(layer.threshold.min()),
                        hint=f"set it to {program.target.threshold_max}",
                    )
                )
        return tuple(found)

    def build(self, program: Program, folder: Path) -> Artifact:
        """Write a folder that runs on Lava without neuroprivacy."""
        export(program, folder)
        return Artifact(backend="lava", folder=folder, program=program)

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        """Run all samples in the Lava worker process."""
        program = artifact.program
        given = next(iter(spikes.values())).shape[1]
        worker = self._worker or shared_worker()
        arrays, versions = worker.ask(
            network=artifact.folder,
            inputs={name: np.asarray(array, np.int32) for name, array in spikes.items()},
            record={"states": record.states},
        )

        def by_layer(quantity: str) -> dict[str, Int64]:
            """Select the arrays of one quantity, by layer name."""
            return {layer.name: arrays[f"{quantity}.{layer.name}"] for layer in program.layers}

        try:
            fired = {name: array.astype(np.uint8) for name, array in by_layer("spikes").items()}
            final_u, final_v = by_layer("final_u"), by_layer("final_v")
            states_u = by_layer("states_u") if record.states else None
            states_v = by_layer("states_v") if record.states else None
        except KeyError as error:
            raise WorkerFailed(f"lava: the worker's result lacks {error}") from error
        for layer in program.layers:
            if not layer.fires and fired[layer.name].any():
                raise WorkerFailed(f"lava: the silent layer {layer.name} fired; its range audit is wrong")
        events: dict[str, Int64] = {p.name: (spikes[p.name] != 0).sum(axis=1) for p in program.inputs}
        events.update({name: array.sum(axis=1, dtype=np.int64) for name, array in fired.items()})
        window = {name: fired[name][:, program.window(name, given)] for name in program.outputs}
        first = program.outputs[0]
        return RunResult(
            backend="lava",
            spikes=window,
            readout=read_out(program, window[first], final_v),
            counts=count(program, EventTally(program, events), steps=given + program.latency),
            layer_spikes=fired if record.spikes else None,
            final_u=final_u if record.final else None,
            final_v=final_v if record.final else None,
            states_u=states_u,
            states_v=states_v,
            versions=versions,
        )


_SHARED: list[WorkerProcess] = []


def shared_worker() -> WorkerProcess:
    """The worker of this process. It is reused, since Lava takes seconds to start."""
    if not _SHARED:
        _SHARED.append(WorkerProcess())
    return _SHARED[0]
