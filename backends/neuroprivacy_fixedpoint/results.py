"""What a run gives, gathered from its shares."""

from __future__ import annotations

import numpy as np

from neuroprivacy.backend import Record
from neuroprivacy.counts import Observed
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy_fixedpoint.plan import Plan
from neuroprivacy_fixedpoint.share import Share


class Seen:
    """What is counted of all samples, a tally; nothing of the plan is kept but which number is which.

    Attributes:
        tallied: int64 (samples, items), events and operations.
        extremes: int64 (samples, layers, 5), extremes and overflows.
        numbers: layer name -> its place there.
    """

    def __init__(self, plan: Plan, samples: int) -> None:
        self.numbers, self._sources, self._edges = plan.numbers, plan.items.sources, plan.items.edges
        self.tallied = np.empty((samples, len(plan.items.rows)), np.int64)
        self.extremes = np.empty((samples, len(plan.order), 5), np.int64)

    def add(self, share: Share, here: slice) -> None:
        """Take what some samples gave."""
        self.tallied[here] = share.tallied
        if share.parts == 1:
            self.extremes[here] = share.seen[0]
        else:
            self.extremes[here, :, :3] = share.seen[..., :3].max(axis=0)
            self.extremes[here, :, 3:] = share.seen[..., 3:].sum(axis=0)

    def events(self, name: str) -> Int64:
        """Events of a port or layer, (samples,)."""
        return self.tallied[:, self._sources[name]]

    def operations(self, name: str) -> tuple[Int64, ...]:
        """Weights touched on each edge into a layer, (samples,) each."""
        return tuple(self.tallied[:, item] for item in self._edges[name])

    def observed(self, name: str) -> Observed:
        """Extremes and overflows of a layer."""
        return Observed.of_columns(self.extremes[:, self.numbers[name]])


class Results:
    """Arrays for all samples, which shares of samples fill in.

    Attributes:
        spikes: layer name -> uint8 (samples, steps, neurons): recorded layers and outputs.
        seen: what is counted.
        u, v: layer name -> int64 (samples, neurons), after the last step: of recorded layers and a readout.
        states_u, states_v: layer name -> int64 (samples, steps, neurons).
    """

    def __init__(self, program: Program, plan: Plan, samples: int, steps: int, record: Record) -> None:
        sizes = program.sizes
        names = program.layer_names
        shown = names if record.spikes else program.outputs
        self.spikes = {n: np.empty((samples, steps, sizes[n]), np.uint8) for n in shown}
        self.seen = Seen(plan, samples)
        ended = names if record.final else program.outputs[:1] if program.readout == "membrane" else ()
        self.u: dict[str, Int64] = {n: np.empty((samples, sizes[n]), np.int64) for n in ended}
        self.v: dict[str, Int64] = {n: np.empty((samples, sizes[n]), np.int64) for n in ended}
        kept = names if record.states else ()
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
        self.seen.add(share, here)
        for name in self.u:
            self.u[name][here], self.v[name][here] = share.states_of(name)
