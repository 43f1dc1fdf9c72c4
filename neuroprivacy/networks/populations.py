"""A layer graph as populations: which nodes give the current of which neurons, in what order, with what delays.

The layers between one population and the next have no memory; together with a population they are computed at once over
all time steps. Populations that feed each other form a loop and are computed time step by time step. Within a loop, a
connection from the population itself or from a later one reads the time step before, unless a delay says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
from torch import nn

from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.networks.layer_graph import RESERVED, Node
from neuroprivacy.networks.layers import Delay
from neuroprivacy.networks.neuron import SpikingNeuron

#: A source and a delay of the model, in time steps.
Connection = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """Neurons, or what is read at the end, with the layers that give their current.

    Attributes:
        name: of the neurons' node; of the last layer where currents are read.
        current: node whose value is the current.
        members: layers and sums between the sources and the current, sources first.
        connections: inputs and populations that it reads, each with the delays of its paths; within a loop a delay of 1
            stands where the time step before is read.
        neurons: whether it has any.
        reads_late: sources in its loop that are read one time step late.
    """

    name: str
    current: str
    members: tuple[str, ...]
    connections: tuple[Connection, ...]
    neurons: bool
    reads_late: frozenset[str]

    @property
    def sources(self) -> tuple[str, ...]:
        """Inputs and populations that it reads."""
        return tuple(dict.fromkeys(source for source, _ in self.connections))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Populations in the order in which they are computed.

    Attributes:
        groups: of populations; the second value says whether they form a loop.
        latency: population -> time steps from the input on a chip on which every connection costs one.
    """

    groups: tuple[tuple[tuple[Population, ...], bool], ...]
    latency: Mapping[str, int]

    @property
    def populations(self) -> tuple[Population, ...]:
        """All populations, in the network's order."""
        return tuple(population for members, _ in self.groups for population in members)


def plan(nodes: Sequence[Node], layers: Mapping[str, nn.Module], outputs: Sequence[str]) -> Plan:
    """Find the populations of a network, their sources and latencies.

    Args:
        nodes: in the order of the network; neurons may read later neurons.
        layers: modules by name.
        outputs: nodes that are read.
    """
    by_name = {node.name: node for node in nodes}
    ends = [node.name for node in nodes if node.kind == "neuron"]
    ends += [name for name in outputs if by_name[name].kind != "neuron"]
    found = {name: _population(name, by_name, layers) for name in ends}
    graph = nx.DiGraph()
    graph.add_nodes_from(ends)
    graph.add_edges_from((s, p.name) for p in found.values() for s in p.sources if s in found)
    place = {name: i for i, name in enumerate(ends)}
    loops = nx.condensation(graph)
    order = nx.lexicographical_topological_sort(loops, key=lambda c: min(place[n] for n in loops.nodes[c]["members"]))
    groups = []
    for component in order:
        names = sorted(loops.nodes[component]["members"], key=place.__getitem__)
        loop = len(names) > 1 or graph.has_edge(names[0], names[0])
        members = tuple(_in_loop(found[name], names, place) if loop else found[name] for name in names)
        groups.append((members, loop))
    return Plan(groups=tuple(groups), latency=_latency(groups, by_name))


def check_nodes(nodes: Sequence[Node], layers: Mapping[str, nn.Module], outputs: Sequence[str]) -> None:
    """Refuse nodes that do not form a network.

    Raises:
        ConfigurationError: a node reads an unknown node or a later layer, lacks its module, has a name that is taken or
            that no module can have; or there is no input, or an output is unknown.
    """
    by_name = {node.name: node for node in nodes}
    if unknown := [name for name in outputs if name not in by_name]:
        raise ConfigurationError(f"outputs: no node is named {', '.join(unknown)}")
    if not any(node.kind == "input" for node in nodes):
        raise ConfigurationError("nodes: there is no input")
    known: set[str] = set()
    for node in nodes:
        if node.name in known:
            raise ConfigurationError(f"{node.name}: two nodes have this name")
        if "." in node.name or not node.name or node.name in RESERVED:
            raise ConfigurationError(f"{node.name}: torch takes no module of this name; choose another")
        if missing := [s for s in node.sources if s not in known and getattr(by_name.get(s), "kind", "") != "neuron"]:
            raise ConfigurationError(f"{node.name}: reads {', '.join(missing)}, which no earlier node computes")
        if node.kind in ("layer", "neuron") and len(node.sources) != 1:
            raise ConfigurationError(f"{node.name}: has {len(node.sources)} sources and reads one; put a sum before it")
        if node.kind == "add" and not node.sources:
            raise ConfigurationError(f"{node.name}: is a sum without sources")
        if node.kind in ("layer", "neuron") and node.name not in layers:
            raise ConfigurationError(f"{node.name}: has no module")
        if node.kind == "neuron" and not isinstance(layers[node.name], SpikingNeuron):
            raise ConfigurationError(f"{node.name}: its module is no population of neurons")
        if node.kind == "relu":
            raise ConfigurationError(f"{node.name}: is a ReLU; convert the network first")
        known.add(node.name)


def _population(name: str, by_name: Mapping[str, Node], layers: Mapping[str, nn.Module]) -> Population:
    neurons = by_name[name].kind == "neuron"
    current = by_name[name].sources[0] if neurons else name
    members: dict[str, None] = {}
    visited: set[tuple[str, float]] = set()
    connections: dict[Connection, None] = {}

    def visit(at: str, delay: float) -> None:
        """Everything that leads to a node, back to inputs and neurons."""
        if (at, delay) in visited:
            return
        visited.add((at, delay))
        node = by_name[at]
        if node.kind in ("input", "neuron"):
            connections.setdefault((at, round(delay)))
            return
        module = layers.get(at)
        delays = sorted(set(module.time_steps.flatten().tolist())) if isinstance(module, Delay) else [0.0]
        for source in node.sources:
            for more in delays:
                visit(source, delay + more)
        members.setdefault(at)

    visit(current, 0)
    return Population(
        name=name, current=current, members=tuple(members), connections=tuple(connections), neurons=neurons,
        reads_late=frozenset(),
    )  # fmt: skip


def _in_loop(population: Population, loop: Sequence[str], place: Mapping[str, int]) -> Population:
    """A population of a loop: what comes from itself or a later one without a delay comes one time step late."""
    late = frozenset(name for name in loop if place[name] >= place[population.name])
    connections = tuple((s, 1 if s in late and delay == 0 else delay) for s, delay in population.connections)
    return Population(
        name=population.name, current=population.current, members=population.members,
        connections=tuple(dict.fromkeys(connections)), neurons=population.neurons, reads_late=late,
    )  # fmt: skip


def _latency(groups: Sequence[tuple[tuple[Population, ...], bool]], by_name: Mapping[str, Node]) -> dict[str, int]:
    """Longest paths: a connection costs one time step, less what the model itself delays it."""
    populations = [population for members, _ in groups for population in members]
    latency = dict.fromkeys([n for n, node in by_name.items() if node.kind == "input"], 0)
    latency.update(dict.fromkeys((p.name for p in populations), 0))
    for _ in range(len(latency) + 1):
        changed = False
        for population in populations:
            for source, delay in population.connections:
                wanted = latency[source] + 1 - delay
                if latency[population.name] < wanted:
                    latency[population.name], changed = wanted, True
        if not changed:
            return latency
    return {}  # a loop of several populations costs more time steps on a chip than the model delays it


def latency_of(found: Plan, name: str) -> int:
    """The latency of a population.

    Raises:
        UnsupportedNode: a loop takes longer on a chip than the model delays it.
    """
    if not found.latency:
        raise UnsupportedNode(
            f"{name}: a loop of the network takes more time steps on a chip than the model delays it; put "
            "delays into it"
        )
    return found.latency[name]
