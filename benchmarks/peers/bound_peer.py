"""The least work of an event-driven simulator: add the weight rows of the events that really happen, and nothing else.

    accumulator[j] += weight[i, j]        int8 weights; int16 or int32 accumulators (option `bits`)

Rows have the lengths of the workload, the events are those of the float network on some samples, as ready-made lists
(`events.npz`). Up to four rows are added in one pass. A convolution adds, per event and kernel row, three neighbouring
pixels of all target channels at once; what falls outside is not added. No neurons, no lists
to make, no results. With several threads every thread takes samples of its own.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, prange
from serving import Simulator, Task, load, serve


@njit(inline="always")
def _add_rows(
    target: np.ndarray, rows: np.ndarray, piece: int, left: int, right: int, chosen: np.ndarray, low: int, high: int
) -> None:
    """target += sum of rows[chosen[low : high], piece, left : right]."""
    n = right - left
    k = low
    while k + 4 <= high:
        a, b = rows[chosen[k], piece, left:right], rows[chosen[k + 1], piece, left:right]
        c, d = rows[chosen[k + 2], piece, left:right], rows[chosen[k + 3], piece, left:right]
        for j in range(n):
            target[j] += a[j] + b[j] + c[j] + d[j]
        k += 4
    while k < high:
        a = rows[chosen[k], piece, left:right]
        for j in range(n):
            target[j] += a[j]
        k += 1


@njit
def _step(
    acc: np.ndarray, rows: np.ndarray, chosen: np.ndarray, starts: np.ndarray, spans: np.ndarray, group: int, last: int
) -> None:
    """All groups of one step: group g adds the rows chosen[starts[g] : starts[g + 1]], piece by piece.

    spans[place, piece] says where the piece goes, and from where to where it is cut: what lies outside is left out.
    """
    for g in range(group, last):
        if starts[g] == starts[g + 1]:
            continue
        for piece in range(rows.shape[1]):
            at, left, right = spans[g % spans.shape[0], piece]
            if right > left:
                _add_rows(acc[at : at + right - left], rows, piece, left, right, chosen, starts[g], starts[g + 1])


@njit(parallel=True, nogil=True)
def _all(
    accs: np.ndarray, rows: np.ndarray, chosen: np.ndarray, starts: np.ndarray, spans: np.ndarray,
    steps: np.ndarray, first: int, repeats: int, chunks: int,
) -> None:  # fmt: skip
    """One layer, all steps, of `repeats` samples from `first` on; steps (samples, T + 1): where groups begin."""
    for chunk in prange(chunks):
        acc = accs[chunk]
        for sample in range(chunk, repeats, chunks):
            s = (first + sample) % steps.shape[0]
            for t in range(steps.shape[1] - 1):
                acc[:] = 0
                _step(acc, rows, chosen, starts, spans, steps[s, t], steps[s, t + 1])


def _spans(height: int, width: int, out: int) -> np.ndarray:
    """For every pixel and kernel row: where it adds, and from where to where of its row; (pixels, 3, 3)."""
    spans = np.zeros((height * width, 3, 3), np.int64)
    for y in range(height):
        for x in range(width):
            first, end = max(x - 1, 0), min(x + 2, width)
            for piece in range(3):
                row = y + piece - 1
                if 0 <= row < height:
                    left, right = (first - x + 1) * out, (end - x + 1) * out
                    spans[y * width + x, piece] = (row * width + first) * out, left, right
    return spans


class Bound(Simulator):
    """Event lists and weights of all layers."""

    packages = ("numba", "numpy")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        numba.set_num_threads(task.threads)
        kind = {16: np.int16, 32: np.int32}[task.options["bits"]]
        events = load(task.folder / "events.npz")
        self.layers = [self._prepare(layer, task, events[layer["name"]], kind) for layer in task.layers]
        self.first = 0
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
            spans, size = _spans(height, width, out), height * width * out
            shrink = 2 if layer["pool"] else 1
            image = events.reshape(samples, steps, channels, height, shrink, width, shrink)
            # Pixel by pixel; within a pixel all its channels and, where there is a pool, all that it sums.
            ordered = image.transpose(0, 1, 3, 5, 4, 6, 2).reshape(samples, steps, height * width, -1)
            index = np.tile(np.arange(channels), shrink * shrink)
        else:
            flat = small.reshape(len(small), -1)
            rows, size = np.ascontiguousarray(flat.T)[:, None, :], len(flat)
            spans = np.array([[[0, 0, size]]])
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
        lengths = (spans[..., 2] - spans[..., 1]).clip(0).sum(axis=1)
        adds = int((counts.reshape(-1, groups) * lengths).sum())
        accs = np.zeros((self.task.threads, size), kind)
        return accs, rows, chosen, starts, spans, per_sample, adds

    def call(self, batch: Any) -> object:
        for *arguments, _ in self.layers:
            _all(*arguments, self.first, self.task.batch, min(self.task.threads, self.task.batch))
        self.first += self.task.batch
        return None

    def rates(self, spikes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return {}

    def work(self, request: dict[str, Any]) -> dict[str, Any]:
        """Adds of a sample."""
        return {"adds": self.adds}


if __name__ == "__main__":
    serve(Bound)
