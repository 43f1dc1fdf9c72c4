"""What the integers could reach in the worst case, against every declared width: before anything runs.

A bound that holds for every input proves a width. One that does not is a remark, not a refusal: it says what an input
would have to do; the counts of a run say whether it did. A silent readout on a chip that always fires must be proved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.program import ConvMap, Layer, Program
from neuroprivacy.targets.spec import TargetSpec

Reach = Mapping[str, tuple[int, int]]
_NAMES = {"a": "synaptic sum", "u": "current", "v": "membrane"}
_WHAT_HAPPENS = {
    "a": "the declared width holds unless most sources are active at once; see the observed maximum",
    "u": "the current would wrap; see the number of wraps observed",
    "v": "the membrane would saturate; see the number of saturations observed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What one quantity of one layer can reach.

    Attributes:
        layer: its name.
        quantity: "a", "u" or "v".
        low: the lowest and `high` the highest value that any input can cause, lsb.
        floor: the lowest and `ceiling` the highest value that the declared width holds.
    """

    layer: str
    quantity: str
    low: int
    high: int
    floor: int
    ceiling: int

    @property
    def holds(self) -> bool:
        """Whether the width is proved."""
        return self.floor <= self.low and self.high <= self.ceiling

    def remark(self) -> Issue:
        """The width, as a remark."""
        worst, limit = (self.high, self.ceiling) if self.high > self.ceiling else (self.low, self.floor)
        return Issue(
            where=self.layer,
            what=f"the largest possible {_NAMES[self.quantity]}",
            value=worst,
            limit=limit,
            hint=_WHAT_HAPPENS[self.quantity],
            fatal=False,
        )


def activation_range(layer: Layer, reach: Reach) -> tuple[int, int]:
    """Lowest and highest synaptic sum of one step; `reach` is the range of each port's values, spikes are 0 or 1."""
    low = high = 0
    for edge in layer.edges:
        window = edge.map.pool[0] * edge.map.pool[1] if isinstance(edge.map, ConvMap) else 1
        least, most = reach.get(edge.source, (0, 1))
        flat = edge.map.weight.reshape(len(edge.map.weight), -1) * window
        high += int(np.maximum(flat * least, flat * most).sum(1).max())
        low += int(np.minimum(flat * least, flat * most).sum(1).min())
    return low, high


def state_ranges(
    layer: Layer, reach: Reach, *, steps: int, target: TargetSpec
) -> tuple[tuple[int, int], tuple[int, int]]:
    """What u and v (before the test) can reach in so many steps: the largest input in every one of them.

    A neuron that spikes returns below its threshold (hard) or down by it (soft), so only the lower end and the surplus
    of one step add up.
    """
    low, high = activation_range(layer, reach)
    u_low, u_high = min(0, int(layer.u_init.min())), max(0, int(layer.u_init.max()))
    v_low, v_high = min(0, int(layer.v_init.min())), max(0, int(layer.v_init.max()))
    bias_low, bias_high = int(layer.bias.min()), int(layer.bias.max())
    kept_u = DECAY_ONE - int(layer.du.min()) - target.du_offset if target.current_bits else 0
    kept_v = DECAY_ONE - int(layer.dv.min())
    theta = int(layer.threshold.max()) << target.threshold_shift
    reach_u, reach_v = (u_low, u_high), (v_low, v_high)
    for _ in range(steps):
        u_low = _kept(u_low, kept_u) + (low << target.activation_shift)
        u_high = _kept(u_high, kept_u) + (high << target.activation_shift)
        v_low = min(0, _kept(v_low, kept_v) + u_low + bias_low)
        v_high = max(0, _kept(v_high, kept_v) + u_high + bias_high)
        reach_u = min(reach_u[0], u_low), max(reach_u[1], u_high)
        reach_v = min(reach_v[0], v_low), max(reach_v[1], v_high)
        if layer.fires:
            v_high = max(min(v_high, theta), v_high - theta if layer.reset == "soft" else 0)
    return reach_u, reach_v


def _kept(value: int, factor: int) -> int:
    """tz(value·factor / 4096)."""
    product = value * factor
    return product >> 12 if product >= 0 else -(-product >> 12)


def audit(program: Program, *, steps: int) -> tuple[Range, ...]:
    """Every sum, current and membrane against its width, for so many computed steps."""
    target = program.target
    reach = {port.name: (port.low, port.high) for port in program.inputs}
    found = []
    for layer in program.layers:
        low, high = activation_range(layer, reach)
        half = 1 << (target.activation_bits - 1)
        found.append(Range(layer=layer.name, quantity="a", low=low, high=high, floor=-half, ceiling=half - 1))
        u, v = state_ranges(layer, reach, steps=steps, target=target)
        if target.current_bits:
            top = (1 << (target.current_bits - 1)) - 1
            found.append(Range(layer=layer.name, quantity="u", low=u[0], high=u[1], floor=-top, ceiling=top))
        floor, ceiling = target.membrane_range
        found.append(Range(layer=layer.name, quantity="v", low=v[0], high=v[1], floor=floor, ceiling=ceiling))
    return tuple(found)


def audit_ranges(program: Program, *, steps: int) -> tuple[Issue, ...]:
    """Remarks about what some input could drive out of its width within so many input steps."""
    return tuple(entry.remark() for entry in audit(program, steps=steps + program.latency) if not entry.holds)


def silent_steps(layer: Layer, reach: Reach, *, latency: int, target: TargetSpec, wanted: int) -> int:
    """Input steps, up to `wanted`, for which a layer that only integrates provably stays below the threshold."""
    ceiling = target.threshold_max << target.threshold_shift

    def holds(steps: int) -> bool:
        """Whether the membrane stays below the threshold for so many input steps."""
        _, (_, high) = state_ranges(layer, reach, steps=steps + latency, target=target)
        return high <= ceiling

    if holds(wanted):
        return wanted
    below, above = 0, wanted
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if holds(middle) else (below, middle)
    return below
