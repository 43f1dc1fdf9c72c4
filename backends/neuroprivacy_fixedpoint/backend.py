"""The backend: check, build and run."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.program import ConvMap, LinearMap, Program, largest_inputs, save_program
from neuroprivacy.runtime.backend import Artifact, Inputs, Record, RunResult, read_out
from neuroprivacy.runtime.counts import count
from neuroprivacy_fixedpoint.columns import LARGEST
from neuroprivacy_fixedpoint.engine import run_program
from neuroprivacy_fixedpoint.weights import padded_size


class FixedPointBackend:
    """Runs every Program on the CPU, exactly as the reference does."""

    def check(self, program: Program) -> tuple[Issue, ...]:
        """Weights, input values summed over a pooling window, and the number of weights must fit 32 bits."""
        found: list[Issue] = []
        largest = largest_inputs(program)
        weights = 0
        for layer in program.layers:
            for edge in layer.edges:
                where, weight = f"{layer.name} from {edge.source}", _largest_weight(edge.map)
                value = largest.get(edge.source, 1) * edge.map.window
                weights += padded_size(edge.map)
                if weight > LARGEST:
                    found.append(Issue(where=where, what="weight", value=weight, limit=LARGEST))
                if value > LARGEST:
                    what = "an input value, summed over its pooling window"
                    found.append(Issue(where=where, what=what, value=value, limit=LARGEST, hint="scale the input"))
        if weights > LARGEST:
            found.append(Issue(where="program", what="number of weights", value=weights, limit=LARGEST))
        return tuple(found)

    def build(self, program: Program, folder: Path) -> Artifact:
        """Save the Program; the kernels are compiled once per machine and cached."""
        save_program(program, folder)
        return Artifact(backend="fixedpoint", folder=folder, program=program)

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        """Run all samples, in batches of bounded memory, on all threads."""
        program = artifact.program
        given = spikes[program.inputs[0].name].shape[1]
        results = run_program(program, spikes, record)
        window = {name: results.spikes[name][:, program.window(name, given)] for name in program.outputs}
        readout = results.totals
        if readout is None:
            readout = read_out(program, window[program.outputs[0]], results.v)
        return RunResult(
            backend="fixedpoint",
            spikes=window,
            readout=readout,
            counts=count(program, results.seen, steps=given + program.latency, late=True),
            layer_spikes=results.spikes if record.spikes else None,
            final_u=results.u if record.final else None,
            final_v=results.v if record.final else None,
            states_u=results.states_u if record.states else None,
            states_v=results.states_v if record.states else None,
            versions=dict(_versions()),
        )


def _largest_weight(linear: LinearMap) -> int:
    """A bound of |w|, also for a convolution that becomes a matrix: its weights add up where windows overlap."""
    if isinstance(linear, ConvMap) and any(np.less(linear.pool_stride, linear.pool)):
        return int(np.abs(linear.weight).sum(axis=(2, 3)).max())
    return int(np.abs(linear.weight).max())


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Versions of the libraries that run."""
    return tuple((name, version(name)) for name in ("numba", "numpy"))
