"""Results of a run, collected from its batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.counts import Observed
from neuroprivacy_fixedpoint.batch import Batch
from neuroprivacy_fixedpoint.plan import Plan


class Seen:
    """Counts of all samples, a `Tally`. It keeps no plan alive. Batches are concatenated on first use."""

    def __init__(self, plan: Plan) -> None:
        self._numbers, self._sources, self._edges = plan.numbers, plan.items.sources, plan.items.edges
        self._batches: list[tuple[int, Int64, Int64]] = []

    def add(self, batch: Batch, here: slice) -> None:
        """Add the counts of a batch."""
        extremes = batch.seen[0].copy()
        if batch.partitions > 1:
            extremes[..., :3] = batch.seen[..., :3].max(axis=0)
            extremes[..., 3:] = batch.seen[..., 3:].sum(axis=0)
        self._batches.append((here.start, batch.tallied.copy(), extremes))

    @cached_property
    def _joined(self) -> tuple[Int64, Int64]:
        """Events and synaptic operations, (samples, items); extremes and overflows, (samples, layers, 5)."""
        _, tallied, extremes = zip(*sorted(self._batches, key=lambda batch: batch[0]), strict=True)
        return np.concatenate(tallied), np.concatenate(extremes)

    def events(self, name: str) -> Int64:
        """Events of a port or layer, (samples,)."""
        return self._joined[0][:, self._sources[name]]

    def operations(self, name: str) -> tuple[Int64, ...]:
        """Synaptic operations of each edge into a layer, (samples,) each."""
        return tuple(self._joined[0][:, item] for item in self._edges[name])

    def observed(self, name: str) -> Observed:
        """Extremes and overflows of a layer."""
        return Observed.of_columns(self._joined[1][:, self._numbers[name]])


class Results:
    """Arrays for all samples, filled in batch by batch.

    Attributes:
        spikes: layer name -> uint8 (samples, steps, neurons): recorded layers and outputs.
        seen: what is counted.
        u, v: layer name -> int64 (samples, neurons), after the last step: of recorded layers and a readout.
        states_u, states_v: layer name -> int64 (samples, steps, neurons).
        totals: of the first output, int64 (samples, neurons), in how many steps each fired; if that is the readout and
            one batch has it.
    """

    def __init__(
        self, program: Program, plan: Plan, samples: int, steps: int, record: Record, *, at_once: bool
    ) -> None:
        """Allocate the result arrays of a run.

        Args:
            program, plan: what runs.
            samples, steps: how many.
            record: what is kept.
            at_once: whether one batch holds all samples, in one time block.
        """
        self._samples, self._sizes = samples, program.sizes
        names = program.layer_names
        self._shown = names if record.spikes else program.outputs
        self._at_once = at_once
        #: The first output, if how often it fired in all steps is the readout.
        self._counted = program.outputs[0] if program.readout == "spike_count" and program.latency == 0 else None
        self.spikes: dict[str, NDArray[np.uint8]] = {}
        self.totals: Int64 | None = None
        if not at_once:
            sizes = self._sizes
            self.spikes = {name: np.empty((samples, steps, sizes[name]), np.uint8) for name in self._shown}
        self.seen = Seen(plan)
        self.u: dict[str, Int64] = {}
        self.v: dict[str, Int64] = {}
        self.states_u: dict[str, Int64] = {}
        self.states_v: dict[str, Int64] = {}
        if record.final or program.readout == "membrane":
            self.u, self.v = (self._empty(names if record.final else program.outputs[:1]) for _ in "uv")
        if record.states:
            self.states_u, self.states_v = (self._empty(names, steps) for _ in "uv")

    def _empty(self, names: Sequence[str], *steps: int) -> dict[str, Int64]:
        """States of layers, to be filled in."""
        return {name: np.empty((self._samples, *steps, self._sizes[name]), np.int64) for name in names}

    def add_time_block(self, batch: Batch, here: slice, step: int, count: int) -> None:
        """Add the spikes of a time block; and its states, if it is one time step."""
        for name in self._shown:
            if self._at_once:
                self.spikes[name] = np.array(batch.fired_of(name, count), np.uint8)
            else:
                self.spikes[name][here, step : step + count] = batch.fired_of(name, count)
        for name in self.states_u:
            self.states_u[name][here, step], self.states_v[name][here, step] = batch.states_of(name)

    def add_end(self, batch: Batch, here: slice) -> None:
        """Add the counts and final states of a batch."""
        self.seen.add(batch, here)
        if self._at_once and self._counted is not None:
            self.totals = batch.totals_of(self._counted)
        for name in self.u:
            self.u[name][here], self.v[name][here] = batch.states_of(name)
