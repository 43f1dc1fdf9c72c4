"""The reference: a Program computed step by step in numpy int64, slow and obvious. It is the definition.

This file is docs/reference/SEMANTICS.md in code. Every backend must equal it in every integer.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels import (
    conv_apply,
    dense_apply,
    fire_and_reset,
    integrate_current,
    integrate_membrane,
    sum_pool,
)
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import DenseMap, Layer, LinearMap, Program, save_program
from neuroprivacy.runtime.backend import Artifact, Inputs, Record, RunResult
from neuroprivacy.runtime.counts import EventTally, Observed, count


def apply_map(linear: LinearMap, x: Int64) -> Int64:
    """W·x of one step: x (samples, sources) -> (samples, neurons)."""
    if isinstance(linear, DenseMap):
        return dense_apply(linear.weight, x)
    image = x.reshape(-1, *linear.in_shape)
    pooled = sum_pool(image, kernel=linear.pool, stride=linear.pool_stride)
    result = conv_apply(
        linear.weight,
        pooled,
        stride=linear.stride,
        padding=linear.padding,
        dilation=linear.dilation,
        groups=linear.groups,
    )
    return result.reshape(len(x), -1)


class Interpreter:
    """All samples of one run, one time step after another.

    Attributes:
        u: layer name -> current, int64 (samples, neurons); likewise `v`, after the last time step.
        past: port or layer name -> its latest outputs, newest first, up to the longest delay.
    """

    def __init__(self, program: Program, samples: int) -> None:
        self.program = program
        self.u = {layer.name: np.tile(layer.u_init, (samples, 1)) for layer in program.layers}
        self.v = {layer.name: np.tile(layer.v_init, (samples, 1)) for layer in program.layers}
        depth = 1 + max(edge.delay for layer in program.layers for edge in layer.edges)
        self.past = {
            name: deque([np.zeros((samples, size), np.int64)] * depth, maxlen=depth)
            for name, size in program.sizes.items()
        }
        self.seen: dict[str, tuple[Int64, ...]] = {}

    def step(self, inputs: dict[str, Int64]) -> None:
        """Compute one time step from its input, port name -> (samples, size)."""
        for name, x in inputs.items():
            self.past[name].appendleft(x)
        for layer in self.program.layers:
            # A layer that is not yet computed in this time step has no output in it.
            self.past[layer.name].appendleft(np.zeros_like(self.past[layer.name][0]))
        for layer in self.program.layers:
            self.past[layer.name][0] = self._update(layer)

    def _update(self, layer: Layer) -> Int64:
        """One time step of one layer: its spikes, (samples, neurons)."""
        rule, name = self.program.target.rule, layer.name
        activation = np.zeros_like(self.u[name])
        for edge in layer.edges:
            activation = activation + apply_map(edge.map, self.past[edge.source][edge.delay])
        u, wrapped = integrate_current(self.u[name], activation, du=layer.du, rule=rule)
        before, saturated = integrate_membrane(self.v[name], u, dv=layer.dv, bias=layer.bias, rule=rule)
        spikes, v = fire_and_reset(before, threshold=layer.threshold, reset=layer.reset, fires=layer.fires, rule=rule)
        self.u[name], self.v[name] = u, v
        self.seen[name] = (activation, u, before, wrapped, saturated)
        return spikes


def run_reference(program: Program, spikes: Inputs, *, record: Record = Record()) -> RunResult:  # noqa: B008
    """Run a Program as `neuroprivacy.runtime.backend` defines a run.

    Args:
        program: the Program.
        spikes: port name -> integers (samples, T, size), as `check_inputs` returns them.
        record: recordings besides the results.
    """
    spikes = {name: np.asarray(values, np.int64) for name, values in spikes.items()}
    samples, given = next(iter(spikes.values())).shape[:2]
    steps = given + program.latency
    machine = Interpreter(program, samples)
    names = [layer.name for layer in program.layers]
    fired = {n: np.zeros((samples, steps, program.sizes[n]), np.uint8) for n in names}
    states_u: dict[str, list[Int64]] = {n: [] for n in names}
    states_v: dict[str, list[Int64]] = {n: [] for n in names}
    extremes = {n: np.zeros((3, samples), np.int64) for n in names}
    overflows = {n: np.zeros((2, samples), np.int64) for n in names}
    for t in range(steps):
        machine.step(
            {
                p.name: spikes[p.name][:, t] if t < given else np.zeros((samples, p.size), np.int64)
                for p in program.inputs
            }
        )
        for n in names:
            fired[n][:, t] = machine.past[n][0]
            activation, u, before, wrapped, saturated = machine.seen[n]
            for i, values in enumerate((activation, u, before)):
                extremes[n][i] = np.maximum(extremes[n][i], np.abs(values).max(axis=1))
            overflows[n] += np.stack([wrapped.sum(axis=1), saturated.sum(axis=1)])
            if record.states:
                states_u[n].append(u)
                states_v[n].append(machine.v[n])
    events = {p.name: (spikes[p.name] != 0).sum(axis=1) for p in program.inputs}
    events.update({n: fired[n].sum(axis=1, dtype=np.int64) for n in names})
    observed = {
        n: Observed(
            max_activation=extremes[n][0],
            max_current=extremes[n][1],
            max_membrane=extremes[n][2],
            wraps=overflows[n][0],
            saturations=overflows[n][1],
        )
        for n in names
    }
    window = {n: fired[n][:, program.window(n, given)] for n in program.outputs}
    first = program.outputs[0]
    return RunResult(
        backend="reference",
        spikes=window,
        readout=machine.v[first] if program.readout == "membrane" else window[first].sum(axis=1, dtype=np.int64),
        counts=count(program, EventTally(program, events, observed), steps=steps),
        layer_spikes=fired if record.spikes else None,
        final_u=machine.u if record.final else None,
        final_v=machine.v if record.final else None,
        states_u={n: np.stack(states_u[n], axis=1) for n in names} if record.states else None,
        states_v={n: np.stack(states_v[n], axis=1) for n in names} if record.states else None,
        versions={"numpy": np.__version__},
    )


class ReferenceBackend:
    """The reference as a backend, so that it can be named beside the others."""

    def check(self, program: Program) -> tuple[Issue, ...]:
        """No issues: the reference runs every Program."""
        return ()

    def build(self, program: Program, folder: Path) -> Artifact:
        """Save the Program; there is nothing to compile."""
        save_program(program, folder)
        return Artifact(backend="reference", folder=folder, program=program)

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        """Run the Program in this process."""
        return run_reference(artifact.program, spikes, record=record)
