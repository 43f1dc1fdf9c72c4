"""A recurrent network of current-based neurons that reads an image row by row: what integers cost in a loop.

    u[t] = α u[t-1] + W x[t] + V z[t-1]      v[t] = β v[t-1] + u[t]      z[t] = v[t] > θ, then v := 0
    y    = membrane of a leaky readout after the last row

One layer of nir.CubaLIF with itself as a source, and a readout. Input and recurrent weights lead into one population
and share a unit on a chip: in training at a width they are one quantized layer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroprivacy.backend import Artifact, run
from neuroprivacy.data import Dataset
from neuroprivacy.graph.metadata import DEFAULT_DT_S, WEIGHT_SCALE, GraphInfo
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.nets.neuron import scan
from neuroprivacy.nets.quantized import WeightBits, computed_weight, quantized_layer, weight_unit
from neuroprivacy.nets.surrogate import Surrogate
from neuroprivacy.storage import read_json, write_bytes, write_json
from neuroprivacy.train.fit import FitSettings, fit

#: Decays that 12 bits hold: what a chip can compute is best trained.
ALPHA, BETA, READOUT_BETA = 1 - 1638 / 4096, 1 - 410 / 4096, 1 - 205 / 4096
THETA = 1.0


class RowNet(nn.Module):
    """The network.

    Attributes:
        cell: (rows of the image + hidden) -> hidden, W beside V.
        out: hidden -> classes.
    """

    def __init__(self, *, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.cell: nn.Module = nn.Linear(inputs + hidden, hidden, bias=False)
        self.out: nn.Module = nn.Linear(hidden, classes, bias=False)
        self.inputs, self.hidden = inputs, hidden
        self.surrogate = Surrogate(name="atan")

    def quantized(self, bits: WeightBits) -> RowNet:
        """The same network with its weights rounded in the forward pass."""
        net = RowNet(inputs=self.inputs, hidden=self.hidden, classes=int(self.out.weight.shape[0]))  # type: ignore[index]
        net.cell, net.out = (quantized_layer(layer, bits) for layer in (self.cell, self.out))  # type: ignore[arg-type]
        return net

    def forward(self, x: Tensor) -> Tensor:
        """(batch, T, inputs) of 0 and 1 -> (batch, classes)."""
        u = v = z = x.new_zeros(len(x), self.hidden)
        fired = []
        for row in x.unbind(1):
            u = ALPHA * u + self.cell(torch.cat([row, z], 1))
            v = BETA * v + u
            # One step of the scan is the bare spike function with its surrogate.
            z = scan(v.unsqueeze(0), threshold=v.new_tensor(THETA), beta=1.0, reset="hard", surrogate=self.surrogate)[0]
            v = v * (1 - z.detach())
            fired.append(z)
        y = x.new_zeros(())
        for current in self.out(torch.stack(fired)):
            y = READOUT_BETA * y + current
        return y


def rows(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (samples, 1, height, width) as spikes (samples, height, width): a pixel above one half fires."""
    return (images[:, 0] > 0.5).astype(np.float32)


@torch.no_grad()
def row_logits(net: RowNet, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs of the float network, (samples, classes)."""
    net.eval()
    return np.concatenate([net(part).numpy() for part in torch.split(torch.from_numpy(rows(images)), 500)])


@torch.no_grad()
def row_graph(net: RowNet) -> nir.NIRGraph:
    """The network in NIR; weights on a grid say so."""
    net.eval()
    cell, unit = _weights(net.cell)
    out, out_unit = _weights(net.out)
    full = np.ones(net.hidden, np.float32)
    classes = np.ones(len(out), np.float32)
    dt_s = DEFAULT_DT_S
    tau_mem, tau_out = dt_s / (1 - BETA), dt_s / (1 - READOUT_BETA)
    nodes = {
        "input": nir.Input({"input": np.array([net.inputs])}),
        "w": nir.Linear(weight=cell[:, : net.inputs], metadata=unit),
        "v": nir.Linear(weight=cell[:, net.inputs :], metadata=dict(unit)),
        "hidden": nir.CubaLIF(
            tau_syn=full * dt_s / (1 - ALPHA), tau_mem=full * tau_mem, r=full * tau_mem / dt_s, v_leak=full * 0,
            v_threshold=full * THETA, v_reset=full * 0, w_in=full / (1 - ALPHA),
        ),
        "fc": nir.Linear(weight=out, metadata=out_unit),
        "readout": nir.LI(tau=classes * tau_out, r=classes * tau_out / dt_s, v_leak=classes * 0),
        "output": nir.Output({"output": np.array([len(out)])}),
    }  # fmt: skip
    edges = [
        ("input", "w"), ("w", "hidden"), ("hidden", "v"), ("v", "hidden"), ("hidden", "fc"), ("fc", "readout"),
        ("readout", "output"),
    ]  # fmt: skip
    info = GraphInfo(dt_s=dt_s, reset="hard", readout="membrane", steps=net.inputs)
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=info.to_metadata(), type_check=False)


def _weights(layer: nn.Module) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """What a layer computes with, and the unit on which it lies, as metadata."""
    unit = weight_unit(layer)
    return computed_weight(layer).numpy(), {} if unit is None else {WEIGHT_SCALE: unit.numpy().reshape(-1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Settings of the network and its training."""

    dataset: str
    hidden: int = 128
    epochs: int = 16
    quantized_epochs: int = 3
    batch_size: int = 128
    lr: float = 3e-3
    quantized_lr: float = 5e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class RowNetwork:
    """The network of one seed, with all that it needs to be measured; see `image_network.ImageNetwork`."""

    settings: Rows
    data: Dataset
    seed: int
    folder: Path
    keys: tuple[str, str]

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"recurrent CubaLIF, {self.settings.hidden} neurons, T = {self.data.sample_shape[1]}"

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self.settings)

    def trained(self) -> RowNet:
        """The float network."""
        torch.manual_seed(self.seed)
        net = RowNet(inputs=self.data.sample_shape[2], hidden=self.settings.hidden, classes=self.data.num_classes)
        return self._fitted(net, self.settings.epochs, self.settings.lr, self.folder / "float", self.keys[0])

    def trained_at(self, net: RowNet, bits: WeightBits, place: Path) -> RowNet:
        """The network, trained on with its weights rounded to that width."""
        return self._fitted(
            net.quantized(bits), self.settings.quantized_epochs, self.settings.quantized_lr, place, self.keys[1]
        )

    def outputs(self, net: RowNet, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the float network."""
        return row_logits(net, images)

    def graph(self, net: RowNet) -> nir.NIRGraph:
        """In NIR."""
        return row_graph(net)

    def calibration(self, graph: nir.NIRGraph, images: NDArray[np.float32]) -> dict[str, Int64]:
        """The rows as they would be sent."""
        return {"input": rows(images).astype(np.int64)}

    def predicted(self, artifact: Artifact, images: NDArray[np.float32]) -> Int64:
        """Of the integers."""
        return run(artifact, spikes=rows(images).astype(np.int64)).prediction

    def _fitted(self, net: RowNet, epochs: int, lr: float, place: Path, key: str) -> RowNet:
        """Trained, or taken up."""
        path, made = place / "weights.safetensors", place / "made.json"
        if made.exists() and read_json(made).get("key") == key:
            net.load_state_dict(safetensors.torch.load(path.read_bytes()))
            return net.eval()
        settings = FitSettings(
            epochs=epochs, batch_size=self.settings.batch_size, lr=lr, clip_norm=1.0, seed=self.seed, threads=1
        )
        fit(
            net, torch.from_numpy(rows(self.data.train_images)), torch.from_numpy(self.data.train_labels.copy()),
            loss=lambda x, y: nn.functional.cross_entropy(net(x) / x.shape[1], y), settings=settings,
            state_folder=place, resume=True, identity=key,
        )  # fmt: skip
        write_bytes(path, safetensors.torch.save(net.state_dict()))
        write_json(made, {"key": key})
        return net.eval()
