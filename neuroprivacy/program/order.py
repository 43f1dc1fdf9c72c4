"""In which order nodes of a graph with loops can be computed: groups, sources first; a loop is one group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def run_order(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> tuple[tuple[tuple[str, ...], bool], ...]:
    """Strongly connected groups in an order in which every group's sources come first.

    Args:
        names: of the nodes; members of a group keep this order.
        pairs: (source, target); sources that are no nodes are ignored.

    Returns:
        (members, whether they form a loop), for each group.
    """
    # Not before there is something to order: it takes a tenth of a second to load.
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    listed = list(names)
    place = {name: i for i, name in enumerate(listed)}
    joined = [(place[a], place[b]) for a, b in pairs if a in place]
    ones = np.ones(len(joined), np.int8)
    graph = csr_matrix((ones, ([a for a, _ in joined], [b for _, b in joined])), shape=(len(names),) * 2)
    count, label = connected_components(graph, directed=True, connection="strong")
    feeds = {group: {int(label[a]) for a, b in joined if label[b] == group != label[a]} for group in range(count)}
    ordered: list[int] = []
    while len(ordered) < count:
        ordered.append(next(g for g in range(count) if g not in ordered and feeds[g] <= set(ordered)))
    loops = {int(label[a]) for a, b in joined if label[a] == label[b]}
    return tuple((tuple(listed[int(i)] for i in np.flatnonzero(label == group)), group in loops) for group in ordered)
