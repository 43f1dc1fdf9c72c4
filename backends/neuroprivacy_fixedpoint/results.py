"""What a run gives, gathered from its shares."""

from __future__ import annotations

import numpy as np

from neuroprivacy.backend import Record
from neuroprivacy.counts import Observed
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy_fixedpoint.plan import Plan
from neuroprivacy_fixedpoint.share import Share


class Results:
    """Arrays for all samples, which shares of samples fill in.

    Attributes:
        spikes: layer name -> uint8 (samples, steps, neurons): recorded layers and outputs.
        totals: int32 (samples, bytes of a row): in how many steps each was not zero; likewise `graded_totals`.
        seen: int64 (samples, layers, 5).
        u, v: layer name -> int64 (samples, neurons), after the last step.
        states_u, states_v: layer name -> int64 (samples, steps, neurons).
    """

    def __init__(self, program: Program, plan: Plan, samples: int, steps: int, record: Record) -> None:
        self.plan = plan
        sizes = program.sizes
        names = [layer.name for layer in program.layers]
        shown = names if record.spikes else program.outputs
        self.spikes = {n: np.empty((samples, steps, sizes[n]), np.uint8) for n in shown}
        self.totals = np.empty((samples, plan.width), np.int32)
        self.graded_totals = np.empty((samples, plan.graded_width), np.int32)
        self.seen = np.empty((samples, len(names), 5), np.int64)
        ended = names if record.final else program.outputs[:1]
        self.u: dict[str, Int64] = {n: np.empty((samples, sizes[n]), np.int64) for n in ended}
        self.v: dict[str, Int64] = {n: np.empty((samples, sizes[n]), np.int64) for n in ended}
        kept = names if record.states else []
        self.states_u: dict[str, Int64] = {n: np.empty((samples, steps, sizes[n]), np.int64) for n in kept}
        self.states_v: dict[str, Int64] = {n: np.empty((samples, steps, sizes[n]), np.int64) for n in kept}

    def add_block(self, share: Share, here: slice, step: int, count: int) -> None:
        """Take what a block of steps gave; states are kept where a block is one step."""
        for name, spikes in self.spikes.items():
            spikes[here, step : step + count] = share.fired_of(name, count)
        for name in self.states_u:
            self.states_u[name][here, step], self.states_v[name][here, step] = share.states_of(name)

    def add_end(self, share: Share, here: slice) -> None:
        """Take what samples gave in all."""
        self.totals[here], self.graded_totals[here] = share.totals, share.graded_totals
        if share.parts == 1:
            self.seen[here] = share.seen[0]
        else:
            self.seen[here, :, :3] = share.seen[..., :3].max(axis=0)
            self.seen[here, :, 3:] = share.seen[..., 3:].sum(axis=0)
        for name in self.u:
            self.u[name][here], self.v[name][here] = share.states_of(name)

    def events(self, name: str) -> Int64:
        """In how many steps each value of a port or layer was not zero, (samples, values)."""
        plan, layout = self.plan, self.plan.layouts[name]
        graded = name in plan.graded
        at = plan.graded[name] if graded else plan.spikes[name]
        return layout.outside((self.graded_totals if graded else self.totals)[:, at : at + layout.size]).astype(
            np.int64
        )

    def observed(self, name: str) -> Observed:
        """Extremes and overflows of a layer."""
        return Observed.of_columns(self.seen[:, self.plan.numbers[name]])
