"""Every declared width of the target against the bounds of the integers, before anything runs.

A bound that fits proves a width for every input. One that does not fit is a diagnostic, not a refusal: some input could
exceed the width; the counts of a run state whether one did.
"""

from __future__ import annotations

from dataclasses import dataclass

from neuroprivacy.core.errors import Issue
from neuroprivacy.lowering.ir.integer import Lowered
from neuroprivacy.lowering.layer_ranges import activation_bounds, layer_state_bounds
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.program import Program

_NAMES = {"a": "synaptic sum", "u": "current", "v": "membrane"}
_CONSEQUENCES = {
    "a": "the declared width holds unless most sources are active at once; see the observed maximum",
    "u": "the current would wrap; see the number of wraps observed",
    "v": "the membrane would saturate; see the number of saturations observed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The value range of one quantity of one layer.

    Attributes:
        layer: its name.
        quantity: "a", "u" or "v".
        low: lowest and `high` highest value over all inputs, in least significant bits.
        floor: lowest and `ceiling` highest value that the declared width holds.
    """

    layer: str
    quantity: str
    low: int
    high: int
    floor: int
    ceiling: int

    @property
    def holds(self) -> bool:
        """Whether the values are proved to fit the format's width."""
        return self.floor <= self.low and self.high <= self.ceiling

    def diagnostic(self) -> Issue:
        """The diagnostic for a value that can exceed its width."""
        worst, limit = (self.high, self.ceiling) if self.high > self.ceiling else (self.low, self.floor)
        return Issue(
            where=self.layer,
            what=f"the largest possible {_NAMES[self.quantity]}",
            value=worst,
            limit=limit,
            hint=_CONSEQUENCES[self.quantity],
            fatal=False,
        )


def audit_ranges(lowered: Lowered, context: LoweringContext) -> Lowered:
    """A diagnostic for each width that some input could exceed within the input time steps."""
    steps = context.time_steps + lowered.program.latency
    return lowered.diagnosed(entry.diagnostic() for entry in audit(lowered.program, steps=steps) if not entry.holds)


def audit(program: Program, *, steps: int) -> tuple[Range, ...]:
    """The range of every sum, current and membrane, for so many computed time steps."""
    target = program.target
    ranges = {port.name: (port.low, port.high) for port in program.inputs}
    found = []
    for layer in program.layers:
        low, high = activation_bounds(layer, ranges)
        half = 1 << (target.activation_bits - 1)
        found.append(Range(layer=layer.name, quantity="a", low=low, high=high, floor=-half, ceiling=half - 1))
        u, v = layer_state_bounds(layer, ranges, steps=steps, target=target)
        if target.current_bits:
            top = (1 << (target.current_bits - 1)) - 1
            found.append(Range(layer=layer.name, quantity="u", low=u[0], high=u[1], floor=-top, ceiling=top))
        floor, ceiling = target.membrane_range
        found.append(Range(layer=layer.name, quantity="v", low=v[0], high=v[1], floor=floor, ceiling=ceiling))
    return tuple(found)
