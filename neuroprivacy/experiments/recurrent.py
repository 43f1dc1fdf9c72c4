"""A recurrent network on rows of images: the cost of integers in a loop; see `neuroprivacy.networks.row_net`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.data import Dataset
from neuroprivacy.export.rows import row_graph
from neuroprivacy.kernels.formats import Int64, WeightBits
from neuroprivacy.networks.row_net import RowNet, row_logits, row_net
from neuroprivacy.runtime.backend import Artifact, run
from neuroprivacy.training.fit import FitSettings
from neuroprivacy.training.rows import train_rows


def rows(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (samples, 1, height, width) as spikes (samples, height, width): a pixel above one half fires."""
    return (images[:, 0] > 0.5).astype(np.float32)


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
        net = row_net(
            inputs=self.data.sample_shape[2], hidden=self.settings.hidden, classes=self.data.num_classes, seed=self.seed
        )
        return self._fitted(net, self.settings.epochs, self.settings.lr, self.folder / "float", self.keys[0])

    def trained_at(self, net: RowNet, bits: WeightBits, place: Path) -> RowNet:
        """The network, trained on with its weights rounded to that width."""
        return self._fitted(
            net.quantized(bits), self.settings.quantized_epochs, self.settings.quantized_lr, place, self.keys[1]
        )

    def outputs(self, net: RowNet, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the float network."""
        return row_logits(net, rows(images))

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
        settings = FitSettings(
            epochs=epochs, batch_size=self.settings.batch_size, lr=lr, clip_norm=1.0, seed=self.seed, threads=1
        )
        spikes = rows(self.data.train_images)
        return train_rows(net, spikes, self.data.train_labels, settings=settings, folder=place, key=key)
