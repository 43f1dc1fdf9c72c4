"""The backend: lay the Program out, run chunks of samples through the kernels, gather what was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.backend import Artifact, Inputs, Record, RunResult, read_out
from neuroprivacy.counts import Observed, count
from neuroprivacy.errors import Issue
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import ConvMap, Program, save_program
from neuroprivacy_fixedpoint.plan import LayerPlan, Plan, make_plan

#: Events and weights are 32-bit integers in the kernels.
LARGEST = 2**31 - 1
#: Spikes of one chunk of samples take at most this many bytes.
CHUNK_BYTES = 128 * 2**20


class FixedPointBackend:
    """Runs every Program on the CPU, exactly as the reference does."""

    def check(self, program: Program) -> tuple[Issue, ...]:
        """Weights, and input values summed over a pooling window, must fit 32 bits."""
        found: list[Issue] = []
        largest = {port.name: max(abs(port.low), abs(port.high)) for port in program.inputs}
        for layer in program.layers:
            for edge in layer.edges:
                where, weight = f"{layer.name} from {edge.source}", int(np.abs(edge.map.weight).max())
                window = math.prod(edge.map.pool) if isinstance(edge.map, ConvMap) else 1
                value = largest.get(edge.source, 1) * window
                if weight > LARGEST:
                    found.append(Issue(where=where, what="weight", value=weight, limit=LARGEST))
                if value > LARGEST:
                    what = "an input value, summed over its pool"
                    found.append(Issue(where=where, what=what, value=value, limit=LARGEST, hint="scale the input"))
        return tuple(found)

    def build(self, program: Program, folder: Path) -> Artifact:
        """Save the Program; the kernels are compiled once per machine and cached."""
        save_program(program, folder)
        return Artifact(backend="fixedpoint", folder=folder, program=program)

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        """Run all samples, in chunks of bounded memory."""
        program = artifact.program
        plan = make_plan(program)
        samples, given = next(iter(spikes.values())).shape[:2]
        steps = given + program.latency
        flat = np.concatenate([np.asarray(spikes[p.name], np.int32) for p in program.inputs], axis=2)
        size = max(1, min(samples, CHUNK_BYTES // max(1, steps * plan.neurons)))
        parts = [
            _run_chunk(program, plan, flat[first : first + size], steps, record) for first in range(0, samples, size)
        ]
        return _gather(program, plan, spikes, parts, steps, record)


def _run_chunk(
    program: Program, plan: Plan, inputs: NDArray[np.int32], steps: int, record: Record
) -> dict[str, dict[str, NDArray[Any]]]:
    """All layers for one chunk: quantity -> layer name -> array."""
    samples = len(inputs)
    fired = np.zeros((samples, steps, plan.neurons), np.uint8)
    machines = {layer.layer.name: _Machine(program, layer, samples, steps, record) for layer in plan.layers}
    for begin, end, name in _schedule(plan, steps):
        machines[name].advance(begin, end, inputs, fired, plan)
    kept: dict[str, dict[str, NDArray[Any]]] = {key: {} for key in ("spikes", "events", "seen", "u", "v", "su", "sv")}
    for layer in plan.layers:
        name, machine = layer.layer.name, machines[layer.layer.name]
        own = fired[:, :, layer.offset : layer.offset + layer.layer.size]
        kept["events"][name] = own.sum(axis=1, dtype=np.int64)
        kept["seen"][name] = machine.seen
        if record.spikes:
            kept["spikes"][name] = own.copy()
        elif name in program.outputs:
            kept["spikes"][name] = own[:, program.window(name, inputs.shape[1])].copy()
        if record.final or name == program.outputs[0]:
            kept["u"][name], kept["v"][name] = machine.u, machine.v
        if record.states:
            kept["su"][name], kept["sv"][name] = machine.keep_u, machine.keep_v
    return kept


def _schedule(plan: Plan, steps: int) -> Iterator[tuple[int, int, str]]:
    """(first step, end, layer): whole runs outside cycles, single steps inside."""
    for members, cyclic in plan.groups:
        for begin in range(steps) if cyclic else (0,):
            for layer in members:
                yield begin, begin + 1 if cyclic else steps, layer.layer.name


class _Machine:
    """State of one layer for one chunk of samples, and the constants that its kernel call needs."""

    def __init__(self, program: Program, plan: LayerPlan, samples: int, steps: int, record: Record) -> None:
        layer, rule = plan.layer, program.target.rule
        self.plan = plan
        self.u = np.tile(layer.u_init, (samples, 1))
        self.v = np.tile(layer.v_init, (samples, 1))
        self.seen = np.zeros((samples, 5), np.int64)
        kept = (samples, steps, layer.size) if record.states else (0, 0, 0)
        self.keep_u, self.keep_v = np.zeros(kept, np.int64), np.zeros(kept, np.int64)
        self.kind = np.zeros(0, np.int32 if plan.narrow else np.int64)
        self.constants = tuple(np.array(getattr(layer, n)) for n in ("threshold", "du", "dv", "bias"))
        self.rule = np.array(
            [
                rule.activation_shift, rule.threshold_shift, rule.du_offset, rule.keeps_current, rule.u_half,
                rule.v_lowest, rule.v_highest, rule.threshold_test == ">", layer.reset == "soft", layer.fires,
            ],
            np.int64,
        )  # fmt: skip

    def advance(self, begin: int, end: int, inputs: NDArray[np.int32], fired: NDArray[np.uint8], plan: Plan) -> None:
        """Compute steps begin ... end-1 of this layer."""
        from neuroprivacy_fixedpoint.kernels import advance

        advance(  # type: ignore[call-arg]
            begin, end, inputs.shape[1], self.plan.edges, self.plan.weights, self.plan.shape, self.plan.offset,
            inputs, fired, self.u, self.v, *self.constants, self.rule, self.seen, plan.scratch, self.kind,
            self.keep_u, self.keep_v,
        )  # fmt: skip


def _gather(
    program: Program,
    plan: Plan,
    spikes: Inputs,
    parts: list[dict[str, dict[str, NDArray[Any]]]],
    steps: int,
    record: Record,
) -> RunResult:
    """Join the chunks into one result."""
    joined = {
        key: {name: np.concatenate([part[key][name] for part in parts]) for name in parts[0][key]} for key in parts[0]
    }
    events: dict[str, Int64] = {p.name: (spikes[p.name] != 0).sum(axis=1) for p in program.inputs}
    events.update(joined["events"])
    observed = {
        name: Observed(
            max_activation=seen[:, 0],
            max_current=seen[:, 1],
            max_membrane=seen[:, 2],
            wraps=seen[:, 3],
            saturations=seen[:, 4],
        )
        for name, seen in joined["seen"].items()
    }
    window = {
        name: joined["spikes"][name][:, program.window(name, steps - program.latency)]
        if record.spikes
        else joined["spikes"][name]
        for name in program.outputs
    }
    first = program.outputs[0]
    return RunResult(
        backend="fixedpoint",
        spikes=window,
        readout=read_out(program, window[first], joined["v"][first]),
        counts=count(program, events=events, steps=steps, observed=observed),
        layer_spikes=joined["spikes"] if record.spikes else None,
        final_u=joined["u"] if record.final else None,
        final_v=joined["v"] if record.final else None,
        states_u=joined["su"] if record.states else None,
        states_v=joined["sv"] if record.states else None,
        versions={name: version(name) for name in ("numba", "numpy")},
    )
