"""What is tallied of a run: the events of every source, and the weights that they touch on every edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy_fixedpoint.columns import ITEM
from neuroprivacy_fixedpoint.layout import Layout


@dataclass(frozen=True, kw_only=True, eq=False)
class Items:
    """What is tallied.

    Attributes:
        rows: int64 (items, ITEM), see `columns`.
        reach: int64, the weights that one event of each value of a source touches, edge after edge.
        sources: port or layer name -> its item; `edges` layer name -> those of the edges into it.
    """

    rows: NDArray[np.void]
    reach: Int64
    sources: dict[str, int]
    edges: dict[str, tuple[int, ...]]


def make_items(
    program: Program, layouts: Mapping[str, Layout], spikes: Mapping[str, int], graded: Mapping[str, int]
) -> Items:
    """The items of a Program whose sources lie at these places of the spikes or the graded inputs."""
    reach, end = [], 0

    def place(name: str, at: int) -> tuple[int, ...]:
        """The row of a source."""
        return name in graded, (graded if name in graded else spikes)[name], layouts[name].size, at

    names = [*(port.name for port in program.inputs), *(layer.name for layer in program.layers)]
    rows = [place(name, -1) for name in names]
    edges = {}
    for layer in program.layers:
        edges[layer.name] = tuple(range(len(rows), len(rows) + len(layer.edges)))
        for edge in layer.edges:
            rows.append(place(edge.source, end))
            reach.append(layouts[edge.source].inside(edge.map.fan_out()))
            end += reach[-1].size
    return Items(
        rows=np.array(rows, ITEM),
        reach=np.concatenate(reach),
        sources={name: i for i, name in enumerate(names)},
        edges=edges,
    )
