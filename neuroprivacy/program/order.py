"""Execution order of a graph with loops: strongly connected components, sources first.

Where several orders are possible, the component whose first node comes first in the list of names goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def run_order(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> tuple[tuple[tuple[str, ...], bool], ...]:
    """The order in which layers run: strongly connected components, topologically sorted.

    Args:
        names: of the nodes; members of a component keep this order.
        pairs: (source, target); sources that are no nodes are ignored.

    Returns:
        (members, whether they form a loop), for each component.
    """
    # Imported on use: it takes a fifth of a second to load.
    import networkx as nx

    place = {name: i for i, name in enumerate(names)}
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(names)))
    graph.add_edges_from((place[a], place[b]) for a, b in pairs if a in place)
    components = nx.condensation(graph)
    members = {component: sorted(of) for component, of in components.nodes(data="members")}
    ordered = [members[c] for c in nx.lexicographical_topological_sort(components, key=lambda c: members[c][0])]
    return tuple(
        (tuple(names[i] for i in group), len(group) > 1 or graph.has_edge(group[0], group[0])) for group in ordered
    )
