"""Some samples of a run: their buffers, and the calls that compute them a block of steps at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy_fixedpoint.plan import Plan

Calls = Sequence[Callable[[], None]]


class _Scratch:
    """What one thread needs beside the buffers: event lists, values, and accumulators of 16 and 32 or of 64 bits."""

    def __init__(self, plan: Plan) -> None:
        self.lists, self.value = np.zeros((3, plan.events), np.int32), np.zeros(plan.events, np.int32)
        self.sums = (np.zeros(plan.largest, np.int16), np.zeros(plan.largest, np.int32))
        wide = np.zeros(plan.largest if plan.wide else 0, np.int64)
        self.wide_sums = (wide, wide)


class Share:
    """Buffers of some samples.

    Attributes:
        fired: uint8 (samples, rows, bytes): `plan.history` earlier rows, then those of one block; likewise `graded`,
            int32 (samples, rows, values).
        states: u and v, int32 (samples, neurons); `wide_states` int64, of the layers that need it.
        seen: int64 (parts, samples, layers, 5).
        totals: int32 (samples, bytes): in how many steps each value was not zero; likewise `graded_totals`.
    """

    def __init__(self, plan: Plan, samples: int, rows: int, parts: int) -> None:
        self.plan, self.samples, self.rows, self.parts = plan, samples, rows, parts
        self.fired = np.zeros((samples, plan.history + rows, plan.width), np.uint8)
        self.graded = np.zeros((samples, plan.history + rows, plan.graded_width), np.int32)
        shape = (samples, plan.neurons)
        wide = shape if plan.wide else (0, 0)
        self.states = (np.empty(shape, np.int32), np.empty(shape, np.int32))
        self.wide_states = (np.empty(wide, np.int64), np.empty(wide, np.int64))
        self.seen = np.zeros((parts, samples, len(plan.order), 5), np.int64)
        self.totals = np.zeros((samples, plan.width), np.int32)
        self.graded_totals = np.zeros((samples, plan.graded_width), np.int32)
        self.scratch = [_Scratch(plan) for _ in range(parts)]

    def begin(self) -> None:
        """Before the first step of new samples."""
        history = self.plan.history
        self.fired[:, :history] = 0
        self.graded[:, :history] = 0
        for u, v in (self.states, self.wide_states) if self.plan.wide else (self.states,):
            u[:], v[:] = self.plan.u_init, self.plan.v_init
        for counter in (self.seen, self.totals, self.graded_totals):
            counter.fill(0)

    def load(self, inputs: Mapping[str, NDArray[Any]], first: int, count: int) -> None:
        """Take steps first ... first + count - 1 of the inputs, (samples, T, values) by port; silence follows them."""
        plan, history = self.plan, self.plan.history
        if first:
            for buffer in (self.fired, self.graded):
                buffer[:, :history] = buffer[:, self.rows : self.rows + history].copy()
        for name, values in inputs.items():
            graded = name in plan.graded
            at = plan.graded[name] if graded else plan.spikes[name]
            buffer = (self.graded if graded else self.fired)[:, history : history + count]
            layout, given = plan.layouts[name], values[:, first : first + count]
            target = buffer[:, :, at : at + layout.size]
            taken = given.shape[1]
            if layout.plain:
                target[:, :taken] = given
            else:
                channels, area = layout.grid[0], layout.grid[1] * layout.grid[2]
                apart = given.reshape(*given.shape[:2], channels, area).swapaxes(2, 3)
                target.reshape(*target.shape[:2], area, channels)[:, :taken] = apart  # a view: one axis is split
            target[:, taken:] = 0

    def compute(self, count: int, together: Callable[[Calls], None]) -> None:
        """Compute a block of so many rows; `together` runs one call for each part of a layer at the same time."""
        from neuroprivacy_fixedpoint.kernels import count_events

        begin = self.plan.history
        end = begin + count
        for first, last, loop, wide in self._stages():
            if loop:
                for row in range(begin, end):
                    self._advance(first, last, wide, (0, 1), (row, row + 1))
            elif self.parts == 1:
                self._advance(first, last, wide, (0, 1), (begin, end))
            else:
                together([self._call(first, last, wide, (p, self.parts), (begin, end)) for p in range(self.parts)])
        count_events(self.fired, begin, end, self.totals)
        if self.plan.graded:
            count_events(self.graded, begin, end, self.graded_totals)

    def _stages(self) -> Sequence[tuple[int, int, bool, bool]]:
        """The plan's, joined to one call where one thread computes them all and there is nothing to tell apart."""
        stages = self.plan.stages
        if self.parts > 1 or any(loop for _, _, loop, _ in stages) or len({wide for *_, wide in stages}) > 1:
            return stages
        return ((0, len(self.plan.order), False, stages[0][3]),)

    def _call(
        self, first: int, last: int, wide: bool, part: tuple[int, int], rows: tuple[int, int]
    ) -> Callable[[], None]:
        return lambda: self._advance(first, last, wide, part, rows)

    def _advance(self, first: int, last: int, wide: bool, part: tuple[int, int], rows: tuple[int, int]) -> None:
        from neuroprivacy_fixedpoint.kernels import advance

        plan, scratch = self.plan, self.scratch[part[0]]
        advance(  # type: ignore[call-arg]
            first, last, *part, *rows, plan.layers, plan.edges,
            *((plan.wide_weights, plan.wide_constants) if wide else (plan.weights, plan.constants)),
            self.fired, self.graded, *(self.wide_states if wide else self.states), self.seen[part[0]],
            scratch.lists, scratch.value, *(scratch.wide_sums if wide else scratch.sums),
        )  # fmt: skip

    def fired_of(self, name: str, count: int) -> NDArray[np.generic]:
        """Spikes of a layer in this block, (samples, count, neurons); to be copied."""
        plan = self.plan
        at, layout = plan.spikes[name], plan.layouts[name]
        return layout.outside(self.fired[:, plan.history : plan.history + count, at : at + layout.size])

    def states_of(self, name: str) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        """u and v of a layer, (samples, neurons); to be copied."""
        plan = self.plan
        at, layout = plan.states[name], plan.layouts[name]
        u, v = self.wide_states if name in plan.wide else self.states
        return layout.outside(u[:, at : at + layout.size]), layout.outside(v[:, at : at + layout.size])

    def events_of(self, name: str) -> NDArray[np.generic]:
        """In how many steps each value of a port or layer was not zero, (samples, values); to be copied."""
        plan, layout = self.plan, self.plan.layouts[name]
        graded = name in plan.graded
        at = plan.graded[name] if graded else plan.spikes[name]
        return layout.outside((self.graded_totals if graded else self.totals)[:, at : at + layout.size])
