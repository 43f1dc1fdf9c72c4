"""The backend: check, build (write the C folder) and run (compile that C on this machine)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroprivacy.core.errors import Issue, WorkerFailed
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Edge, Program, largest_inputs
from neuroprivacy.runtime.backend import Artifact, Inputs, Record, RunResult, read_out
from neuroprivacy.runtime.counts import EventTally, Observed, count
from neuroprivacy_c99.export import export
from neuroprivacy_c99.host import HostRun, library_of, run_host
from neuroprivacy_c99.packing import stored_bits
from neuroprivacy_c99.sources import LONGEST_RING

#: Approximate bytes of the spikes and states of one batch.
CHUNK_BYTES = 64 * 2**20


class C99Backend:
    """Writes a Program as C, and runs it with the host's compiler."""

    def check(self, program: Program) -> tuple[Issue, ...]:
        """Bits: 32 for weights, values, membranes and weight offsets; 62 for synaptic input; 8 for delays."""
        rule, largest = program.target.rule, largest_inputs(program)
        found: list[Issue] = []
        if max(-rule.v_lowest - 1, rule.v_highest) >= 2**31:
            width = program.target.membrane_bits
            found.append(Issue(where=program.target.name, what="bits of a membrane", value=width, limit=32))
        for layer in program.layers:
            bound = layer.activation_bound(largest) << rule.activation_shift
            if bound >= 2**62:
                found.append(Issue(where=layer.name, what="a synaptic sum", value=bound, limit=2**62 - 1))
            for edge in layer.edges:
                found += _edge_issues(f"{layer.name} from {edge.source}", edge, largest.get(edge.source, 1))
        return tuple(found)

    def build(self, program: Program, folder: Path) -> Artifact:
        """Write the C sources, their test, and the Program."""
        export(program, folder)
        return Artifact(backend="c99", folder=folder, program=program)

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        """Compile the folder's C if it has changed, and run every sample."""
        program, folder = artifact.program, artifact.folder
        inputs = {port.name: np.asarray(spikes[port.name]) for port in program.inputs}
        samples, given = next(iter(inputs.values())).shape[:2]
        steps, neurons = given + program.latency, sum(layer.size for layer in program.layers)
        size = max(1, CHUNK_BYTES // (steps * neurons * (17 if record.states else 1) + 16 * neurons))
        parts = [
            run_host(program, folder, {n: x[first : first + size] for n, x in inputs.items()}, states=record.states)
            for first in range(0, samples, size)
        ]
        version = library_of(folder)[1]
        return _gather(program, parts, inputs, steps, record, version)


def _edge_issues(where: str, edge: Edge, value: int) -> list[Issue]:
    """Issues of an edge whose source's largest value is `value`."""
    found: list[Issue] = []
    if edge.delay >= LONGEST_RING:
        found.append(Issue(where=where, what="delay", value=edge.delay, limit=LONGEST_RING - 1))
    top = int(np.abs(edge.map.weight).max())
    for what, size in (("weight", top), ("an input value", value), ("weight times value", top * value)):
        if size >= 2**31:
            hint = "scale the input" if what != "weight" else "choose narrower weights"
            return [*found, Issue(where=where, what=what, value=size, limit=2**31 - 1, hint=hint)]
    bits = edge.map.weight.size * stored_bits(edge.map.weight)
    if bits >= 2**32:
        found.append(Issue(where=where, what="bits of all weights", value=bits, limit=2**32 - 1))
    return found


def _gather(
    program: Program, parts: list[HostRun], inputs: Inputs, steps: int, record: Record, version: str
) -> RunResult:
    """Concatenate the batches and split them by layer."""
    spikes, u, v, extremes = (np.concatenate([getattr(p, n) for p in parts]) for n in ("spikes", "u", "v", "extremes"))
    ends = np.cumsum([layer.size for layer in program.layers])
    own = {layer.name: slice(int(end) - layer.size, int(end)) for layer, end in zip(program.layers, ends, strict=True)}
    events: dict[str, Int64] = {p.name: (inputs[p.name] != 0).sum(axis=1) for p in program.inputs}
    events |= {name: spikes[:, :, at].sum(axis=1, dtype=np.int64) for name, at in own.items()}
    observed = {name: Observed.of_columns(extremes[:, i]) for i, name in enumerate(own)}
    window = {
        name: spikes[:, program.window(name, steps - program.latency), own[name]].copy() for name in program.outputs
    }
    first = program.outputs[0]
    readout = read_out(program, window[first], {first: v[:, -1, own[first]]})
    if not np.array_equal(readout, np.concatenate([part.readout for part in parts])):
        raise WorkerFailed("c99: network_readout does not give what the spikes and membranes say; report this, please")
    return RunResult(
        backend="c99",
        spikes=window,
        readout=readout,
        counts=count(program, EventTally(program, events, observed), steps=steps),
        layer_spikes={name: spikes[:, :, at] for name, at in own.items()} if record.spikes else None,
        final_u={name: u[:, -1, at] for name, at in own.items()} if record.final else None,
        final_v={name: v[:, -1, at] for name, at in own.items()} if record.final else None,
        states_u={name: u[:, :, at] for name, at in own.items()} if record.states else None,
        states_v={name: v[:, :, at] for name, at in own.items()} if record.states else None,
        versions={"cc": version},
    )
