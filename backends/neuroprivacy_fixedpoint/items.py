"""Counters of a run: events of every source, synaptic operations of every edge."""

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
    """The event counters of a Program.

    Attributes:
        rows: records, see `columns`.
        fan_out: synaptic operations that one event of each source value causes, edge after edge, int64.
        sources: port or layer name -> its item; `edges` layer name -> those of the edges into it.
    """

    rows: NDArray[np.void]
    fan_out: Int64
    sources: dict[str, int]
    edges: dict[str, tuple[int, ...]]


def make_items(
    program: Program, layouts: Mapping[str, Layout], spikes: Mapping[str, int], graded: Mapping[str, int]
) -> Items:
    """The counters of a Program. `spikes` and `graded`: offsets of its sources."""
    fan_out, end = [], 0

    def place(name: str, at: int) -> tuple[int, ...]:
        """The fields of one counter record."""
        return name in graded, (graded if name in graded else spikes)[name], layouts[name].size, at

    names = [*(port.name for port in program.inputs), *(layer.name for layer in program.layers)]
    rows = [place(name, -1) for name in names]
    edges = {}
    for layer in program.layers:
        edges[layer.name] = tuple(range(len(rows), len(rows) + len(layer.edges)))
        for edge in layer.edges:
            rows.append(place(edge.source, end))
            fan_out.append(layouts[edge.source].inside(edge.map.fan_out()))
            end += fan_out[-1].size
    return Items(
        rows=np.array(rows, ITEM),
        fan_out=np.concatenate(fan_out),
        sources={name: i for i, name in enumerate(names)},
        edges=edges,
    )
