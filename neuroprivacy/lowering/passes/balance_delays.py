"""Delays: every edge costs what the target says; where branches of different length meet, the short ones wait.

A layer at depth d sees input step k at step k + d. With w the steps that the network itself delays an edge a -> b, the
edge is delayed by depth(b) - depth(a) + w on the chip, which must not be less than an edge costs there:

    depth(b) >= depth(a) + cost - w

The smallest depths are longest paths (Bellman and Ford); they exist unless a loop costs more steps on the chip than the
network delays it (Leiserson and Saxe 1991: retiming). Then every path has the delay that the network means, and the
results are those of the network without any latency.
"""

from __future__ import annotations

from dataclasses import replace

from neuroprivacy.core.errors import DoesNotFit, Issue, raise_fatal
from neuroprivacy.lowering.draft import Draft
from neuroprivacy.targets.spec import TargetSpec


def balance_delays(draft: Draft, target: TargetSpec) -> Draft:
    """The draft with a delay on every edge, and the depth of every layer in steps.

    Raises:
        DoesNotFit: a delay exceeds what the target has, or a loop takes longer on the target than in the network.
    """
    depth = _depths(draft, target.edge_delay_min)
    layers, found = [], []
    for layer in draft.layers:
        edges = tuple(replace(e, delay=depth[layer.name] - depth[e.source] + e.wait) for e in layer.edges)
        found += [
            Issue(
                where=f"{layer.name} from {edge.source}",
                what="delay",
                value=edge.delay,
                limit=target.edge_delay_max,
                hint="insert layers into the short branch",
            )
            for edge in edges
            if edge.delay > target.edge_delay_max
        ]
        layers.append(replace(layer, edges=edges))
    raise_fatal(DoesNotFit, found)
    return replace(draft, layers=tuple(layers), depth=depth)


def _depths(draft: Draft, cost: int) -> dict[str, int]:
    """Port or layer -> steps from the input."""
    depth = dict.fromkeys((*(p.name for p in draft.inputs), *(layer.name for layer in draft.layers)), 0)
    pairs = [(e.source, layer.name, cost - e.wait) for layer in draft.layers for e in layer.edges]
    readout = draft.outputs[0] if draft.readout == "membrane" else None
    changed: str | None = None
    for _ in range(len(depth) + 1):
        changed = None
        for source, name, more in pairs:
            if depth[name] < depth[source] + more:
                depth[name] = depth[source] + more
                changed = name
        if readout is not None:
            # A membrane is read after the last step: its layer must lie as deep as the deepest output.
            depth[readout] = max(depth[name] for name in draft.outputs)
        if changed is None:
            return depth
    raise_fatal(DoesNotFit, [_slow_loop(draft, changed or draft.outputs[0], cost)])
    raise AssertionError("unreachable")


def _slow_loop(draft: Draft, member: str, cost: int) -> Issue:
    """Which loop takes longer than the network says."""
    sources = {layer.name: [(e.source, cost - e.wait) for e in layer.edges] for layer in draft.layers}
    loop: list[str] = []
    stack: list[tuple[str, int, list[str]]] = [(member, 0, [member])]
    while stack and not loop:
        at, excess, path = stack.pop()
        for source, more in sources.get(at, []):
            if source == member and excess + more > 0:
                loop = path
            elif source in sources and source not in path:
                stack.append((source, excess + more, [*path, source]))
    names = " <- ".join([*(loop or [member]), member])
    return Issue(
        where=member,
        what=f"the loop {names} takes {max(len(loop), 1) * cost} steps on this target, more than the network delays it",
        hint="put Delay nodes into the loop, keep recurrence within one layer, or choose --target int8",
    )
