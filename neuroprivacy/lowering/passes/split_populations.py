"""Layers become populations: on a chip that has one threshold, one unit and one decay per population.

Output channels that share them stay together (`decay_classes`, `kernels.grouping`); every edge into the layer is cut by
rows, every edge out of it by columns. The network is the same; its sums are added in another order, in exact integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.lowering.draft import Draft, DraftEdge, DraftLayer, fresh_name
from neuroprivacy.targets.spec import TargetSpec

Number = TypeVar("Number", np.float64, np.int64)


def channels_of(draft: Draft, layer: DraftLayer, target: TargetSpec) -> int:
    """Output channels (neurons, where no convolution leads in) by which a layer can be cut; 1 where it cannot.

    A result stays one layer; so does what a grouped convolution joins, and what a convolution reads by other channels.
    """
    if target.threshold_per == "neuron" or layer.name in draft.outputs or not layer.fires:
        return 1
    into = [edge for edge in layer.edges if edge.conv is not None]
    counts = {len(edge.weight) for edge in into}
    if len(counts) > 1 or any(edge.conv is not None and edge.conv.groups > 1 for edge in into):
        return 1
    channels = counts.pop() if counts else layer.size if len(layer.shape) == 1 else 1
    readers = [edge.conv for each in draft.layers for edge in each.edges if edge.source == layer.name]
    fits = all(conv is None or (conv.groups == 1 and conv.in_shape[0] == channels) for conv in readers)
    return channels if fits else 1


def decay_classes(layer: DraftLayer, channels: int) -> Int64 | None:
    """Class of each channel, (channels,), by its decays; None where neurons of one channel differ."""
    pairs = np.round(np.stack([layer.alpha, layer.beta], 1), 9).reshape(channels, -1, 2)
    if np.ptp(pairs, axis=1).any():
        return None
    return np.asarray(np.unique(pairs[:, 0], axis=0, return_inverse=True)[1].reshape(-1), np.int64)


def split_populations(draft: Draft, groups: Mapping[str, Int64]) -> Draft:
    """The draft with each named layer cut into populations.

    Args:
        draft: with delays and whole weights.
        groups: layer -> group of each of its output channels, numbered from 0; layers of one group stay as they are.
    """
    taken = {port.name for port in draft.inputs} | {layer.name for layer in draft.layers}
    parts: dict[str, dict[str, Int64]] = {}
    for name, group in groups.items():
        if group.max(initial=0) > 0:
            chosen = [np.flatnonzero(group == i) for i in range(int(group.max()) + 1)]
            parts[name] = {fresh_name(f"{name}.{i + 1}", taken): channels for i, channels in enumerate(chosen)}
    if not parts:
        return draft
    layers, populations = [], {}
    for layer in draft.layers:
        layer = replace(layer, edges=tuple(cut for edge in layer.edges for cut in _by_source(edge, parts, groups)))
        if layer.name not in parts:
            layers.append(layer)
            continue
        count = len(groups[layer.name])
        numbers = np.arange(layer.size)
        populations[layer.name] = {name: _rows(numbers, at, count) for name, at in parts[layer.name].items()}
        layers += [_population(layer, name, at, count) for name, at in parts[layer.name].items()]
    depth = draft.depth and {
        **draft.depth, **{name: draft.depth[whole] for whole, of in parts.items() for name in of}
    }  # fmt: skip
    return replace(draft, layers=tuple(layers), depth=depth, populations=populations)


def _population(layer: DraftLayer, name: str, channels: Int64, count: int) -> DraftLayer:
    """The part of a layer that holds those of its `count` channels."""
    neurons = len(channels) * (layer.size // count)
    return replace(
        layer,
        name=name,
        shape=(len(channels), *layer.shape[1:]) if layer.shape[0] == count else (neurons,),
        edges=tuple(_edge_rows(edge, channels, count) for edge in layer.edges),
        bias=_rows(layer.bias, channels, count),
        threshold=_rows(layer.threshold, channels, count),
        alpha=_rows(layer.alpha, channels, count),
        beta=_rows(layer.beta, channels, count),
        u_start=_rows(layer.u_start, channels, count),
        v_start=_rows(layer.v_start, channels, count),
        unit=layer.unit if layer.unit.size == 1 else _rows(layer.unit, channels, count),
        lsb=layer.lsb if layer.lsb.size == 1 else layer.lsb[channels[:1]],
    )


def _rows(values: NDArray[Number], channels: Int64, count: int) -> NDArray[Number]:
    """The rows of (neurons, ...) that belong to some of `count` channels."""
    cut = values.reshape(count, -1, *values.shape[1:])[channels]
    return np.ascontiguousarray(cut.reshape(-1, *values.shape[1:]))


def _edge_rows(edge: DraftEdge, channels: Int64, count: int) -> DraftEdge:
    """What of an edge leads to some of the channels of its target."""
    whole = None if edge.whole is None else _rows(edge.whole, channels, count)
    grid = edge.grid if edge.grid is None or edge.grid.size == 1 else _rows(edge.grid, channels, count)
    return replace(edge, weight=_rows(edge.weight, channels, count), whole=whole, grid=grid)


def _by_source(
    edge: DraftEdge, parts: Mapping[str, Mapping[str, Int64]], groups: Mapping[str, Int64]
) -> tuple[DraftEdge, ...]:
    """An edge from a layer that is cut, as one edge from each of its populations."""
    if edge.source not in parts:
        return (edge,)
    return tuple(
        _edge_columns(edge, name, channels, len(groups[edge.source])) for name, channels in parts[edge.source].items()
    )


def _edge_columns(edge: DraftEdge, source: str, channels: Int64, count: int) -> DraftEdge:
    """What of an edge comes from some of the `count` channels of its source."""

    def columns(weight: NDArray[Number]) -> NDArray[Number]:
        """Those columns, in the order of the weight's own."""
        return np.ascontiguousarray(_rows(weight.swapaxes(0, 1), channels, count).swapaxes(0, 1))

    conv = edge.conv and replace(edge.conv, in_shape=(len(channels), *edge.conv.in_shape[1:]))
    whole = None if edge.whole is None else columns(edge.whole)
    return replace(edge, source=source, weight=columns(edge.weight), conv=conv, whole=whole)
