"""Calibration samples: input second moments of every connection, and the bias correction of every layer.

Two networks run on the samples: the real one, and the one that is quantized so far. Each layer is quantized on the
output of the quantized layers before it: every connection collects E[x xᵀ] over samples, time steps and, for a
convolution, output positions; x is the input of one output (a row of source values, or a patch). The bias then moves
the mean of the quantized layer's sums, over samples, time steps and the positions of a channel, to that of the real
network. Source: Nagel et al. 2019 (bias correction), here on spikes.

Layers of a loop are calibrated on the output of the real network, and keep their biases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels import conv_patches
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.lowering.float_run import FloatRun, advance_neurons, delayed_source, layer_input, start_layer
from neuroprivacy.lowering.ir.quantized import QuantizedLayer
from neuroprivacy.lowering.ir.real import RealConnection, RealLayer, RealNetwork, execution_order

#: Above so many columns only the diagonal is kept.
MAX_COLUMNS = 4608
#: Rows (samples x time steps x positions) that one connection collects.
_MAX_ROWS = 60_000
#: Samples of one batch.
_BATCH = 16

Bits = NDArray[np.uint8]


class Calibration:
    """The samples, and the spikes of both networks for them."""

    def __init__(self, network: RealNetwork, inputs: Mapping[str, Int64]) -> None:
        """Start before the first layer.

        Args:
            network: the real network.
            inputs: port name -> (samples, time steps, values): calibration samples, as they are sent.
        """
        self.inputs = inputs
        self.samples, self.steps = next(iter(inputs.values())).shape[:2]
        self.loops = {layer.name for members, loop in execution_order(network.layers) if loop for layer in members}
        self._sizes = {layer.name: layer.size for layer in network.layers}
        # Layer -> spikes as bits, (samples, time steps, bytes).
        self._real: dict[str, Bits] = {}
        self._quantized: dict[str, Bits] = {}
        self._means: dict[str, Float64] = {}

    def begin(self, members: Sequence[RealLayer]) -> None:
        """Run the next layer of the real network, or the layers of a loop."""
        self._means.update(self._run(self._real, members))

    def second_moments(self, layer: RealLayer) -> tuple[Float64, ...]:
        """For each connection (groups, columns, columns), or (groups, columns) for the diagonal alone."""
        totals: list[Float64] = []
        counts = [0] * len(layer.connections)
        sent = self._real if layer.name in self.loops else self._quantized
        for part, spikes in self._batches(sent, {c.source for c in layer.connections}):
            for i, connection in enumerate(layer.connections):
                values = delayed_source(connection, part, spikes, 0, self.steps)
                rows = _rows(connection, values.reshape(-1, values.shape[2]), batches=self.samples / _BATCH)
                if len(totals) == i:
                    totals.append(_second_moment(rows))
                else:
                    totals[i] += _second_moment(rows)
                counts[i] += rows.shape[1]
        return tuple(total / max(count, 1) for total, count in zip(totals, counts, strict=True))

    def mean_error(self, dequantized: RealLayer, channels: int) -> Float64:
        """Mean sum of the real layer minus that of the quantized one, by channel, (neurons,).

        Args:
            dequantized: the quantized layer with the real weights of its integers.
            channels: of it.
        """
        total = np.zeros(dequantized.size)
        for part, spikes in self._batches(self._quantized, {c.source for c in dequantized.connections}):
            total += layer_input(dequantized, part, spikes, 0, self.steps).sum((0, 1))
        error = self._means[dequantized.name] - total / (self.samples * self.steps)
        return np.repeat(error.reshape(channels, -1).mean(1), dequantized.size // channels)

    def take(self, members: Sequence[RealLayer]) -> None:
        """Run the same layers of the quantized network, dequantized."""
        self._run(self._quantized, members)

    def _run(self, stored: dict[str, Bits], members: Sequence[RealLayer]) -> dict[str, Float64]:
        """Run layers on the stored spikes and store theirs; the mean of each neuron's sums, outside loops."""
        own = {layer.name for layer in members}
        loop = bool(own & self.loops)
        sent: dict[str, list[Bits]] = {name: [] for name in own}
        totals = {layer.name: np.zeros(layer.size) for layer in members if not loop}
        for part, spikes in self._batches(stored, {c.source for layer in members for c in layer.connections} - own):
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
        stored.update({name: np.concatenate(bits) for name, bits in sent.items()})
        return {name: total / (self.samples * self.steps) for name, total in totals.items()}

    def _batches(
        self, stored: Mapping[str, Bits], sources: set[str]
    ) -> Iterator[tuple[dict[str, Int64], dict[str, NDArray[np.uint8]]]]:
        """Inputs, and spikes of the sources that are layers, batch by batch."""
        for first in range(0, self.samples, _BATCH):
            here = slice(first, first + _BATCH)
            part = {name: array[here] for name, array in self.inputs.items()}
            layers = sources - set(part)
            yield part, {name: np.unpackbits(stored[name][here], axis=2, count=self._sizes[name]) for name in layers}


def as_split(given: Mapping[str, Int64], network: RealNetwork) -> dict[str, Int64]:
    """The samples, as an on and an off channel where a port was split into them."""
    sizes = {port.name: port.size for port in network.inputs}
    return {
        name: x if x.shape[2] == sizes[name] else np.concatenate([x.clip(0, None), (-x).clip(0, None)], axis=2)
        for name, x in given.items()
    }


def dequantized(layer: QuantizedLayer) -> QuantizedLayer:
    """The layer with the real weights that its integers stand for."""
    connections = []
    for c in layer.connections:
        scale = layer.weight_scale
        if scale.size not in (1, len(c.q_weight)):  # a matrix beside a convolution: one scale for a channel's neurons
            scale = np.repeat(scale, len(c.q_weight) // scale.size)
        weight = c.q_weight * (scale.reshape(-1, *[1] * (c.q_weight.ndim - 1)) if scale.size > 1 else scale)
        connections.append(replace(c, map=replace(c.map, weight=weight)))
    return replace(layer, connections=tuple(connections))


def _second_moment(rows: Float64) -> Float64:
    """Sum of x xᵀ of (groups, rows, columns), or its diagonal."""
    if rows.shape[2] > MAX_COLUMNS:
        squares: Float64 = (rows**2).sum(1)
        return squares
    products: Float64 = np.matmul(rows.transpose(0, 2, 1), rows)
    return products


def _rows(connection: RealConnection, x: Float64, *, batches: float) -> Float64:
    """The inputs of each output: (groups, rows, columns); one batch's part of _MAX_ROWS rows."""
    limit = max(64, int(_MAX_ROWS / max(batches, 1)))
    conv, weight = connection.map.conv, connection.map.weight
    if conv is None:
        return _thinned(x, limit)[np.newaxis]
    pooled = conv.pooled(x.reshape(-1, *conv.in_shape))
    kernel = (weight.shape[2], weight.shape[3])
    # Fewer images rather than fewer positions of each: the patches of neighbours are nearly equal.
    patches = conv_patches(
        _thinned(pooled, max(8, limit // (pooled.shape[2] * pooled.shape[3]))),
        kernel=kernel, stride=conv.stride, padding=conv.padding, dilation=conv.dilation,
    )  # fmt: skip
    images, positions = len(patches), patches.shape[4] * patches.shape[5]
    grouped = patches.reshape(images, conv.groups, -1, positions)
    return grouped.transpose(1, 0, 3, 2).reshape(conv.groups, images * positions, -1)


def _thinned(x: Float64, limit: int) -> Float64:
    """Select evenly spaced rows."""
    return x if len(x) <= limit else x[np.linspace(0, len(x) - 1, limit).astype(np.int64)]
