"""The least work of an event-driven simulator: add the weight rows of the events that really happen, and nothing else.

    accumulator[j] += weight[i, j]        int8 weights; int16 or int32 accumulators (option `bits`)

Rows have the lengths of the workload, the events are those of the float network on some samples, as ready-made lists
(`events.npz`). Up to four rows are added in one pass. A convolution adds, per event and kernel row, three neighbouring
pixels of all target channels at once into a padded plane, as events at one pixel share their place. No neurons, no lists
to make, no results. With several threads every thread takes samples of its own.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, prange
from serving import Simulator, Task, load, serve


@njit(inline="always")
def _add_rows(acc: np.ndarray, at: int, rows: np.ndarray, offset: int, chosen: np.ndarray, low: int, high: int) -> None:
    """acc[at : at + n] += sum of rows[chosen[low : high], offset : offset + n]; n is the length of a row piece."""
    n = rows.shape[2]
    k = low
    target = acc[at : at + n]
    while k + 4 <= high:
        a, b = rows[chosen[k], offset], rows[chosen[k + 1], offset]
        c, d = rows[chosen[k + 2], offset], rows[chosen[k + 3], offset]
        for j in range(n):
            target[j] += a[j] + b[j] + c[j] + d[j]
        k += 4
    while k < high:
        a = rows[chosen[k], offset]
        for j in range(n):
            target[j] += a[j]
        k += 1


@njit
def _layer(
    acc: np.ndarray, rows: np.ndarray, chosen: np.ndarray, starts: np.ndarray, places: np.ndarray, pitch: int,
    group: int, last: int,
) -> None:  # fmt: skip
    """All groups of one step: group g adds the rows chosen[starts[g] : starts[g + 1]] at places[g], piece by piece."""
    for g in range(group, last):
        for piece in range(rows.shape[1]):
            _add_rows(acc, places[g] + piece * pitch, rows, piece, chosen, starts[g], starts[g + 1])


@njit(parallel=True, nogil=True)
def _all(
    accs: np.ndarray, rows: np.ndarray, chosen: np.ndarray, starts: np.ndarray, places: np.ndarray, pitch: int,
    steps: np.ndarray, repeats: int, chunks: int,
) -> None:  # fmt: skip
    """One layer, all steps, of `repeats` samples; steps (samples, T + 1) says where the groups of a step begin."""
    for chunk in prange(chunks):
        acc = accs[chunk]
        for sample in range(chunk, repeats, chunks):
            s = sample % steps.shape[0]
            for t in range(steps.shape[1] - 1):
                acc[:] = 0
                _layer(acc, rows, chosen, starts, places, pitch, steps[s, t], steps[s, t + 1])


class Bound(Simulator):
    """Event lists and weights of all layers."""

    packages = ("numba", "numpy")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        numba.set_num_threads(task.threads)
        kind = {16: np.int16, 32: np.int32}[task.options["bits"]]
        events = load(task.folder / "events.npz")
        self.layers = [self._prepare(layer, task, events[layer["name"]], kind) for layer in task.layers]
        self.adds = sum(adds for *_, adds in self.layers) / len(events[task.layers[0]["name"]])

    def _prepare(self, layer: dict[str, Any], task: Task, events: np.ndarray, kind: Any) -> tuple[Any, ...]:
        """The arguments of `_all` for one layer, and how many adds they are."""
        weight = task.weights[layer["name"]]
        small = np.rint(weight * 127 / np.abs(weight).max()).astype(np.int8)
        samples, steps = events.shape[:2]
        if layer["kind"] == "conv":
            out, channels = small.shape[:2]
            _, height, width = layer["pooled_shape"]
            # (channel, kernel row, 3 pixels of all outputs)
            rows = np.ascontiguousarray(small.transpose(1, 2, 3, 0)[:, :, ::-1]).reshape(channels, 3, 3 * out)
            pitch, size = (width + 2) * out, (height + 2) * (width + 2) * out
            pixels = np.arange(height * width)
            at = (pixels // width) * pitch + (pixels % width) * out
            shrink = 2 if layer["pool"] else 1
            image = events.reshape(samples, steps, channels, height, shrink, width, shrink)
            # Pixel by pixel; within a pixel all its channels and, where there is a pool, all that it sums.
            ordered = image.transpose(0, 1, 3, 5, 4, 6, 2).reshape(samples, steps, height * width, -1)
            index = np.tile(np.arange(channels), shrink * shrink)
        else:
            flat = small.reshape(len(small), -1)
            rows, pitch, size, at = np.ascontiguousarray(flat.T)[:, None, :], 0, len(flat), np.zeros(1, np.int64)
            if layer["pool"]:
                _, height, width = layer["pooled_shape"]
                wide = np.arange(flat.shape[1]).reshape(layer["pooled_shape"])
                index = wide.repeat(2, axis=1).repeat(2, axis=2).reshape(-1)
            else:
                index = np.arange(flat.shape[1])
            ordered = events.reshape(samples, steps, 1, -1)
        counts = ordered.sum(axis=3, dtype=np.int64)
        chosen = np.broadcast_to(index, ordered.shape)[ordered.astype(bool)].astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(counts.ravel())])
        groups = counts.shape[2]
        begin = np.arange(samples * steps + 1) * groups
        per_sample = np.stack([begin[s * steps : (s + 1) * steps + 1] for s in range(samples)])
        places = np.tile(at, samples * steps)
        accs = np.zeros((self.task.threads, size), kind)
        return accs, rows, chosen, starts, places, pitch, per_sample, int(starts[-1]) * rows.shape[1] * rows.shape[2]

    def call(self, batch: Any) -> object:
        for *arguments, _ in self.layers:
            _all(*arguments, self.task.batch, min(self.task.threads, self.task.batch))
        return None

    def rates(self, spikes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return {}

    def work(self, request: dict[str, Any]) -> dict[str, Any]:
        """Adds of a sample."""
        return {"adds": self.adds}


if __name__ == "__main__":
    serve(Bound)
