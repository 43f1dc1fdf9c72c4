"""Calibration: layer after layer, what the weights are multiplied with, and what rounding did to the sums.

Two networks run on the samples: the real one, and the one whose layers are rounded so far. A layer's rounding answers
what the rounded layers before it really send: every edge collects E[x xᵀ] over samples, steps and, for a convolution,
output positions; x is what one output sees (a row of inputs, or a patch). Then the mean of the rounded layer's sums,
over samples, steps and the positions of a channel, is brought back to the real network's by its bias. Source: Nagel et
al. 2019 (bias correction), here on spikes.

Layers of a loop see what the real network sends, and keep their biases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels import conv_patches
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.lowering.draft import Draft, DraftEdge, DraftLayer
from neuroprivacy.lowering.float_run import FloatRun, advance_neurons, delayed_source, layer_input, start_layer

#: Above so many columns only the diagonal is kept.
MAX_COLUMNS = 4608
#: Rows (samples x steps x positions) that one edge looks at.
_MAX_ROWS = 60_000
_CHUNK = 16

Bits = NDArray[np.uint8]


class Calibration:
    """The samples, and what both networks send for them."""

    def __init__(self, draft: Draft, inputs: Mapping[str, Int64]) -> None:
        """Before the first layer.

        Args:
            draft: the real network, its passes done.
            inputs: port name -> (samples, steps, values): calibration samples, as they are sent.
        """
        self.inputs = inputs
        self.samples, self.steps = next(iter(inputs.values())).shape[:2]
        self.loops = {layer.name for members, loop in draft.groups() if loop for layer in members}
        self._sizes = {layer.name: layer.size for layer in draft.layers}
        # Layer -> spikes as bits, (samples, steps, bytes).
        self._real: dict[str, Bits] = {}
        self._rounded: dict[str, Bits] = {}
        self._means: dict[str, Float64] = {}

    def begin(self, members: Sequence[DraftLayer]) -> None:
        """Run the next layer of the real network, or the layers of a loop."""
        self._means.update(self._run(self._real, members))

    def moments(self, layer: DraftLayer) -> tuple[Float64, ...]:
        """For each edge of a layer (groups, columns, columns), or (groups, columns) for the diagonal alone."""
        totals: list[Float64] = []
        counts = [0] * len(layer.edges)
        sent = self._real if layer.name in self.loops else self._rounded
        for part, spikes in self._chunks(sent, {edge.source for edge in layer.edges}):
            for i, edge in enumerate(layer.edges):
                seen = delayed_source(edge, part, spikes, 0, self.steps)
                rows = _rows(edge, seen.reshape(-1, seen.shape[2]), share=self.samples / _CHUNK)
                if len(totals) == i:
                    totals.append(_moment(rows))
                else:
                    totals[i] += _moment(rows)
                counts[i] += rows.shape[1]
        return tuple(total / max(count, 1) for total, count in zip(totals, counts, strict=True))

    def mean_error(self, rounded: DraftLayer, channels: int) -> Float64:
        """By how much a rounded layer's sums fall short of the real ones, mean of each channel, (neurons,).

        Args:
            rounded: the layer, its weights the rounded ones in real units.
            channels: of it.
        """
        total = np.zeros(rounded.size)
        for part, spikes in self._chunks(self._rounded, {edge.source for edge in rounded.edges}):
            total += layer_input(rounded, part, spikes, 0, self.steps).sum((0, 1))
        short = self._means[rounded.name] - total / (self.samples * self.steps)
        return np.repeat(short.reshape(channels, -1).mean(1), rounded.size // channels)

    def take(self, members: Sequence[DraftLayer]) -> None:
        """Run the same layers of the rounded network, weights and biases in real units."""
        self._run(self._rounded, members)

    def _run(self, kept: dict[str, Bits], members: Sequence[DraftLayer]) -> dict[str, Float64]:
        """Run layers on what is kept and keep what they send; the mean of each neuron's sums, outside loops."""
        own = {layer.name for layer in members}
        loop = bool(own & self.loops)
        sent: dict[str, list[Bits]] = {name: [] for name in own}
        totals = {layer.name: np.zeros(layer.size) for layer in members if not loop}
        for part, spikes in self._chunks(kept, {edge.source for layer in members for edge in layer.edges} - own):
            run = FloatRun(spikes=spikes)
            for layer in members:
                start_layer(run, layer, len(next(iter(part.values()))), self.steps)
            for first in range(self.steps) if loop else (0,):
                end = first + 1 if loop else self.steps
                for layer in members:
                    current = layer_input(layer, part, run.spikes, first, end)
                    advance_neurons(layer, current, run, first)
                    if not loop:
                        totals[layer.name] += current.sum((0, 1))
            for name in own:
                sent[name].append(np.packbits(run.spikes[name], axis=2))
        kept.update({name: np.concatenate(bits) for name, bits in sent.items()})
        return {name: total / (self.samples * self.steps) for name, total in totals.items()}

    def _chunks(
        self, kept: Mapping[str, Bits], sources: set[str]
    ) -> Iterator[tuple[dict[str, Int64], dict[str, NDArray[np.uint8]]]]:
        """Inputs, and spikes of the sources that are layers, of a few samples after another."""
        for first in range(0, self.samples, _CHUNK):
            here = slice(first, first + _CHUNK)
            part = {name: array[here] for name, array in self.inputs.items()}
            layers = sources - set(part)
            yield part, {name: np.unpackbits(kept[name][here], axis=2, count=self._sizes[name]) for name in layers}


def as_split(given: Mapping[str, Int64], draft: Draft) -> dict[str, Int64]:
    """The samples, as an on and an off channel where a port was split into them."""
    sizes = {port.name: port.size for port in draft.inputs}
    return {
        name: x if x.shape[2] == sizes[name] else np.concatenate([x.clip(0, None), (-x).clip(0, None)], axis=2)
        for name, x in given.items()
    }


def in_real_units(layer: DraftLayer) -> DraftLayer:
    """A rounded layer with the real weights that its integers stand for."""
    edges = []
    for edge in layer.edges:
        assert edge.whole is not None, "the layer is rounded"
        unit = layer.lsb.reshape(-1, *[1] * (edge.weight.ndim - 1)) if layer.lsb.size > 1 else layer.lsb
        if unit.size not in (1, len(edge.weight)):  # a matrix beside a convolution: neurons of a channel share its unit
            unit = np.repeat(layer.lsb, len(edge.weight) // layer.lsb.size).reshape(-1, 1)
        edges.append(replace(edge, weight=edge.whole * unit))
    return replace(layer, edges=tuple(edges))


def _moment(rows: Float64) -> Float64:
    """Sum of x xᵀ of (groups, rows, columns), or its diagonal."""
    if rows.shape[2] > MAX_COLUMNS:
        squares: Float64 = (rows**2).sum(1)
        return squares
    products: Float64 = np.matmul(rows.transpose(0, 2, 1), rows)
    return products


def _rows(edge: DraftEdge, x: Float64, *, share: float) -> Float64:
    """What each output sees: (groups, rows, columns); at most this chunk's share of _MAX_ROWS rows."""
    limit = max(64, int(_MAX_ROWS / max(share, 1)))
    if edge.conv is None:
        return _thinned(x, limit)[np.newaxis]
    conv = edge.conv
    pooled = conv.pooled(x.reshape(-1, *conv.in_shape))
    kernel = (edge.weight.shape[2], edge.weight.shape[3])
    # Fewer images rather than fewer positions of each: neighbours see nearly the same.
    patches = conv_patches(
        _thinned(pooled, max(8, limit // (pooled.shape[2] * pooled.shape[3]))),
        kernel=kernel, stride=conv.stride, padding=conv.padding, dilation=conv.dilation,
    )  # fmt: skip
    images, positions = len(patches), patches.shape[4] * patches.shape[5]
    grouped = patches.reshape(images, conv.groups, -1, positions)
    return grouped.transpose(1, 0, 3, 2).reshape(conv.groups, images * positions, -1)


def _thinned(x: Float64, limit: int) -> Float64:
    """Evenly chosen rows."""
    return x if len(x) <= limit else x[np.linspace(0, len(x) - 1, limit).astype(np.int64)]
