"""Latencies and delays: every connection costs the target's time steps; branches that meet get equal delays.

A layer of latency d computes input step k in time step k + d. A connection a -> b that the network itself delays by m
steps is delayed by latency(b) - latency(a) + m on the target, at least by the target's cost:

    latency(b) >= latency(a) + cost - m

The smallest latencies are longest paths (Bellman and Ford on negated weights). They exist unless a loop costs more time
steps on the target than the network delays it (Leiserson and Saxe 1991: retiming). Every path then has its model delay,
and the results are those of the network without latency.
"""

from __future__ import annotations

import networkx as nx

from neuroprivacy.core.errors import DoesNotFit, Issue, raise_fatal
from neuroprivacy.lowering.ir.real import RealNetwork
from neuroprivacy.lowering.ir.scheduled import ScheduledConnection, ScheduledLayer, ScheduledNetwork
from neuroprivacy.lowering.options import LoweringContext

#: The node before all ports and layers; no name of the network is a tuple.
_START = ()


def balance_delays(network: RealNetwork, context: LoweringContext) -> ScheduledNetwork:
    """The network with a delay of every connection and a latency of every layer.

    Raises:
        DoesNotFit: a delay exceeds the target's limit, or a loop takes longer on the target than in the network.
    """
    target = context.target
    latencies = _latencies(network, target.edge_delay_min)
    layers: list[ScheduledLayer] = []
    found: list[Issue] = []
    for layer in network.layers:
        connections = tuple(
            ScheduledConnection.of(c, delay=latencies[layer.name] - latencies[c.source] + c.model_delay)
            for c in layer.connections
        )
        found += [
            Issue(
                where=f"{layer.name} from {connection.source}",
                what="delay",
                value=connection.delay,
                limit=target.edge_delay_max,
                hint="insert layers into the short branch",
            )
            for connection in connections
            if connection.delay > target.edge_delay_max
        ]
        layers.append(ScheduledLayer.of(layer, connections=connections))
    raise_fatal(DoesNotFit, found)
    return ScheduledNetwork.of(network, layers=tuple(layers), latencies=latencies)


def _latencies(network: RealNetwork, cost: int) -> dict[str, int]:
    """Port or layer -> time steps from the input.

    Raises:
        DoesNotFit: a loop takes longer on the target than in the network.
    """
    names = [*(port.name for port in network.inputs), *(layer.name for layer in network.layers)]
    graph = nx.DiGraph()
    graph.add_weighted_edges_from((_START, name, 0) for name in names)
    for layer in network.layers:
        for connection in layer.connections:
            _add(graph, connection.source, layer.name, cost - connection.model_delay)
    if network.readout == "membrane":
        # A membrane is read after the last time step: its layer has the latency of the deepest output.
        for name in network.outputs[1:]:
            _add(graph, name, network.outputs[0], 0)
    try:
        distances = nx.single_source_bellman_ford_path_length(graph, _START)
    except nx.NetworkXUnbounded:
        loop = nx.find_negative_cycle(graph, _START)[:-1]
        last = max(range(len(loop)), key=lambda i: names.index(loop[i]))
        raise DoesNotFit.of([_slow_loop([*loop[last + 1 :], *loop[: last + 1]], cost)]) from None
    return {name: -int(distances[name]) for name in names}


def _add(graph: nx.DiGraph, source: str, target: str, steps: int) -> None:
    """Add a constraint latency(target) >= latency(source) + steps; of two between the same layers the stronger."""
    if not graph.has_edge(source, target) or graph.edges[source, target]["weight"] > -steps:
        graph.add_edge(source, target, weight=-steps)


def _slow_loop(loop: list[str], cost: int) -> Issue:
    """The loop that takes longer on the target than in the network, from its last member back to it."""
    names = " <- ".join([*reversed(loop), loop[-1]])
    return Issue(
        where=loop[-1],
        what=f"the loop {names} takes {len(loop) * cost} steps on this target, more than the network delays it",
        hint="put Delay nodes into the loop, keep recurrence within one layer, or choose --target int8",
    )
