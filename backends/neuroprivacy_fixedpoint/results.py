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
        events: port or layer name -> int64 (samples, values).
        seen: layer name -> int64 (samples, 5).
        u, v: layer name -> int64 (samples, neurons), after the last step.
        states_u, states_v: layer name -> int64 (samples, steps, neurons).
    """

    def __init__(self, program: Program, plan: Plan, samples: int, steps: int, record: Record) -> None:
        sizes = program.sizes
        names = [layer.name for layer in program.layers]
        shown = names if record.spikes else list(program.outputs)
        self.spikes = {n: np.empty((samples, steps, sizes[n]), np.uint8) for n in shown}
        self.events: dict[str, Int64] = {n: np.empty((samples, size), np.int64) for n, size in sizes.items()}
        self.seen: dict[str, Int64] = {n: np.empty((samples, 5), np.int64) for n in names}
        ended = names if record.final else [program.outputs[0]]
        self.u: dict[str, Int64] = {n: np.empty((samples, sizes[n]), np.int64) for n in ended}
        self.v: dict[str, Int64] = {n: np.empty((samples, sizes[n]), np.int64) for n in ended}
        kept = names if record.states else []
        self.states_u: dict[str, Int64] = {n: np.empty((samples, steps, sizes[n]), np.int64) for n in kept}
        self.states_v: dict[str, Int64] = {n: np.empty((samples, steps, sizes[n]), np.int64) for n in kept}
        self._numbers = {layer.name: i for i, layer in enumerate(plan.order)}

    def add_block(self, share: Share, here: slice, step: int, count: int) -> None:
        """Take what a block of steps gave; states are kept where a block is one step."""
        for name, spikes in self.spikes.items():
            spikes[here, step : step + count] = share.fired_of(name, count)
        for name in self.states_u:
            self.states_u[name][here, step], self.states_v[name][here, step] = share.states_of(name)

    def add_end(self, share: Share, here: slice) -> None:
        """Take what samples gave in all."""
        for name, events in self.events.items():
            events[here] = share.events_of(name)
        seen = share.seen
        joined = np.concatenate([seen[..., :3].max(axis=0), seen[..., 3:].sum(axis=0)], axis=-1)
        for name, number in self._numbers.items():
            self.seen[name][here] = joined[:, number]
        for name in self.u:
            self.u[name][here], self.v[name][here] = share.states_of(name)

    def observed(self) -> dict[str, Observed]:
        """Extremes and overflows by layer."""
        return {name: Observed.of_columns(seen) for name, seen in self.seen.items()}
