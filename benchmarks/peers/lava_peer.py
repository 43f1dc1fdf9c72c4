"""lava-nc: stock bit-accurate `LIF` behind its own `Dense` and `Conv` processes; pools are `Sparse`.

The same eight-bit weights and thresholds as our Program for loihi2 (read from `program_arrays.npz`). Weights of
`Dense` are passed as W << 1 with weight_exp = -1: the only way in which Lava keeps all eight bits of a signed weight.
Every pool costs one more step. Compiling and
starting come before the first timed run; one call is one `run` of T steps; the input is laid out beforehand and moves
on from call to call; states are not reset between samples. Python 3.10. One sample at a time.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.models import PyLifModelBitAcc
from lava.proc.lif.process import LIF
from lava.proc.sparse.process import Sparse
from scipy.sparse import csr_matrix
from serving import Simulator, Task, load, serve

_EXACT = {"weight_exp": -1}


class Counted(PyLifModelBitAcc):
    """Lava's LIF, which also counts its spikes and writes the sum down at the end of every call."""

    def run_spk(self) -> None:
        super().run_spk()
        self.fired = getattr(self, "fired", 0) + int(self.s_out_buff.sum())
        if self.time_step % self.proc_params["every"] == 0:
            counts = {"fired": self.fired, "steps": int(self.time_step), "neurons": int(self.s_out_buff.size)}
            Path(self.proc_params["path"]).write_text(json.dumps(counts))


class Lava(Simulator):
    """One running network."""

    packages = ("lava-nc", "numpy")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if task.batch != 1:
            raise ValueError("Lava computes one sample at a time here")
        self.scratch = tempfile.TemporaryDirectory(prefix="neuroprivacy-bench-lava-")
        arrays = load(task.folder / "program_arrays.npz")
        images = len(task.layers[0]["in_shape"]) == 3
        spikes = task.spikes.reshape(-1, *task.spikes.shape[2:]).astype(np.int32)
        # Images are (rows, columns, channels) in Lava.
        data = np.moveaxis(spikes, 0, -1) if not images else spikes.transpose(2, 3, 1, 0)
        before: Any = Source(data=np.ascontiguousarray(data)).s_out
        models: dict[Any, Any] = {}
        for layer in task.layers:
            before, process = self._layer(layer, arrays, before)
            models[process] = Counted
        self.process = process
        self.config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)
        self.call(None)  # compiles and starts

    def _layer(self, layer: dict[str, Any], arrays: dict[str, np.ndarray], before: Any) -> tuple[Any, Any]:
        """One layer behind what came before: its spikes, and its neurons."""
        weight = arrays[layer["name"] + ".weight"]
        spikes = not layer["pool"]
        if layer["pool"]:
            before = self._pool(layer, before)
        bits = {} if spikes else {"num_message_bits": 4}
        if layer["kind"] == "conv":
            # Lava turns its kernels. It takes their weights as they are, and no exponent.
            kernel = weight.transpose(0, 2, 3, 1)[:, ::-1, ::-1]
            rows, columns = layer["pooled_shape"][1:]
            shape = (rows, columns, layer["in_shape"][0])
            made = Conv(weight=kernel.copy(), input_shape=shape, padding=(1, 1), **bits)
            neurons = made.output_shape
        else:
            if len(layer["in_shape"]) == 3:
                weight = weight.reshape(-1, *layer["pooled_shape"]).transpose(0, 2, 3, 1).reshape(len(weight), -1)
                before = before.flatten()
            made = Dense(weights=weight << 1, **_EXACT, **bits)
            neurons = (len(weight),)
        before.connect(made.s_in)
        process = LIF(
            shape=neurons, vth=int(arrays[layer["name"] + ".threshold"][0]), du=4095,
            dv=int(arrays[layer["name"] + ".dv"][0]), bias_mant=0, every=self.task.steps,
            path=os.path.join(self.scratch.name, layer["name"]),
        )  # fmt: skip
        made.a_out.connect(process.a_in)
        return process.s_out, process

    def _pool(self, layer: dict[str, Any], before: Any) -> Any:
        """Sums over 2 x 2, as a sparse matrix: Lava has no pool; a convolution would touch every pair of channels."""
        channels, rows, columns = layer["in_shape"]
        place = np.arange(rows * columns * channels).reshape(rows, columns, channels)
        to = np.arange(rows * columns * channels // 4).reshape(rows // 2, columns // 2, channels)
        to = to.repeat(2, axis=0).repeat(2, axis=1)
        ones = np.full(place.size, 2, np.int32)
        matrix = csr_matrix((ones, (to.ravel(), place.ravel())), shape=(place.size // 4, place.size))
        pool = Sparse(weights=matrix, num_message_bits=1, **_EXACT)
        before.flatten().connect(pool.s_in)
        return pool.a_out.reshape((rows // 2, columns // 2, channels))

    def call(self, batch: Any) -> object:
        self.process.run(condition=RunSteps(num_steps=self.task.steps), run_cfg=self.config)
        return None

    def rates(self, spikes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Not on these samples: see `fired`."""
        return {}

    def fired(self, request: dict[str, Any]) -> dict[str, Any]:
        """Spikes of every layer in all steps so far, and how many steps these are."""
        counts = {
            layer["name"]: json.loads((Path(self.scratch.name) / layer["name"]).read_text())
            for layer in self.task.layers
        }
        return {
            "fired": {name: each["fired"] for name, each in counts.items()},
            "steps": next(iter(counts.values()))["steps"],
        }


if __name__ == "__main__":
    serve(Lava, end=lambda: os.killpg(os.getpgid(0), signal.SIGTERM))
