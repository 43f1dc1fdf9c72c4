"""Delays: every edge costs what the target says; where branches of different length meet, the short ones wait."""

from __future__ import annotations

from dataclasses import replace

from neuroprivacy.errors import DoesNotFit, Issue, raise_fatal
from neuroprivacy.lower.draft import Draft
from neuroprivacy.target import TargetSpec


def balance_delays(draft: Draft, target: TargetSpec) -> Draft:
    """The draft with a delay on every edge, and the depth of every layer in steps.

    A layer lies as deep as its longest path; each of its edges is delayed by the difference. An edge from a later layer
    or from itself closes a cycle: it reads the step before.

    Raises:
        DoesNotFit: a delay exceeds what the target has, or outputs lie at different depths.
    """
    depth = {port.name: 0 for port in draft.inputs}
    layers, found = [], []
    for layer in draft.layers:
        forward = [edge.source for edge in layer.edges if edge.source in depth]
        depth[layer.name] = max(depth[source] for source in forward) + target.edge_delay_min if forward else 0
        edges = []
        for edge in layer.edges:
            recurrent = edge.source not in depth or edge.source == layer.name
            if edge.source not in depth and target.edge_delay_min:
                found.append(
                    Issue(
                        where=f"{layer.name} from {edge.source}",
                        what=f"a loop through several layers takes more than one step on {target.name}",
                        hint="keep recurrence within one layer, or choose --target int8",
                    )
                )
            delay = 1 if recurrent else depth[layer.name] - depth[edge.source]
            if delay > target.edge_delay_max:
                found.append(
                    Issue(
                        where=f"{layer.name} from {edge.source}",
                        what="delay",
                        value=delay,
                        limit=target.edge_delay_max,
                        hint="insert layers into the short branch",
                    )
                )
            edges.append(replace(edge, delay=delay, recurrent=recurrent))
        layers.append(replace(layer, edges=tuple(edges)))
    if len({depth[name] for name in draft.outputs}) > 1:
        found.append(
            Issue(
                where="outputs",
                what="lie at different depths " + str({name: depth[name] for name in draft.outputs}),
                hint="make their paths equally long",
            )
        )
    raise_fatal(DoesNotFit, found)
    return replace(draft, layers=tuple(layers), depth=depth)
