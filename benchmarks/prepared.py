"""Files that the simulators read: the weights of a workload, its Programs, and the samples of an item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.items import Effort, Item
from benchmarks.programs import make_program
from benchmarks.workloads import SEED, Weights, Workload, draw_inputs, make_weights, rates_of, save
from neuroprivacy.program import save_program

#: Samples of a call's batches take at most about so many, however many calls are made of one sample each.
_FEWEST_SAMPLES = {"W2": 64}
_TARGETS = ("int8", "loihi2")


class Prepared:
    """The files of one workload.

    Attributes:
        folder: where they lie.
        weights: in memory.
    """

    def __init__(self, workload: Workload, folder: Path, effort: Effort) -> None:
        self.workload, self.folder, self.effort = workload, folder / workload.name, effort
        self.samples = effort.rate_samples.get(workload.name, effort.rate_samples["W1"])
        mark = self.folder / "workload.json"
        if not mark.exists() or json.loads(mark.read_text())["samples"] != self.samples:
            self._write(mark)
        self.weights = Weights(
            arrays=load_arrays(self.folder / "weights.npz"),
            rates=json.loads(mark.read_text())["rates"],
            events=load_arrays(self.folder / "events.npz"),
        )

    def _write(self, mark: Path) -> None:
        """Make the weights and the Programs; the mark comes last."""
        weights = make_weights(self.workload, samples=self.samples)
        save(self.workload, weights, self.folder)
        for target in _TARGETS:
            program = make_program(self.workload, weights, target=target)
            save_program(program, self.folder / target)
        arrays: dict[str, NDArray[Any]] = {}
        for layer in program.layers:
            arrays[f"{layer.name}.weight"] = layer.edges[0].map.weight.astype(np.int32)
            arrays[f"{layer.name}.threshold"] = layer.threshold
            arrays[f"{layer.name}.dv"] = layer.dv
        np.savez(self.folder / "program_arrays.npz", **arrays)  # type: ignore[arg-type]
        mark.write_text(json.dumps({**json.loads(mark.read_text()), "samples": self.samples}, indent=1))

    def inputs(self, item: Item, steps: int) -> Path:
        """The samples of an item, all of them distinct, with labels: made if need be."""
        count = max(item.batch * self.effort.calls, _FEWEST_SAMPLES.get(self.workload.name, 256))
        path = self.folder / f"inputs_{count}_{steps}.npz"
        if not path.exists():
            spikes = draw_inputs(self.workload, count, seed=SEED + 7, steps=steps)
            labels = np.random.default_rng(SEED).integers(0, self.workload.layers[-1].out_shape[0], count)
            np.savez(path, spikes=spikes, labels=labels)
        return path

    def rates(self, inputs: Path) -> dict[str, float]:
        """Rates of the float network on the samples on which they are compared."""
        return rates_of(self.workload, self.weights, load_arrays(inputs)["spikes"][: self.samples])


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
