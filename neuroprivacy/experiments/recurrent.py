"""A recurrent network on rows of images: the cost of integers in a loop; see `neuroprivacy.networks.recurrent`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.stages import Stage
from neuroprivacy.data import Dataset
from neuroprivacy.export.network import to_nir
from neuroprivacy.kernels.formats import Int64, WeightBits
from neuroprivacy.networks import SpikingNetwork, load_checkpoint, quantize_weights, save_checkpoint
from neuroprivacy.networks.recurrent import recurrent_network
from neuroprivacy.runtime.backend import Artifact, run
from neuroprivacy.training import FitSettings, event_logits, train_on_events
from neuroprivacy.training.fit import discard_state


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
    """The recurrent row-by-row network of one seed, with the data to measure it on."""

    settings: Rows
    data: Dataset
    seed: int
    folder: Path
    keys: tuple[str, str]

    @property
    def title(self) -> str:
        """The network's name in the result table."""
        return f"recurrent CubaLIF, {self.settings.hidden} neurons, T = {self.data.sample_shape[1]}"

    def describe(self) -> dict[str, Any]:
        """The network's settings, as values that JSON can hold."""
        return asdict(self.settings)

    def trained(self) -> SpikingNetwork:
        """The trained float network."""
        _, rows_of_image, columns = self.data.sample_shape
        net = recurrent_network(
            inputs=columns, hidden=self.settings.hidden, outputs=self.data.num_classes, time_steps=rows_of_image,
            seed=self.seed,
        )  # fmt: skip
        return self._fitted(net, self.settings.epochs, self.settings.lr, self.folder / "float", self.keys[0])

    def trained_at(self, net: SpikingNetwork, bits: WeightBits, place: Path) -> SpikingNetwork:
        """The network, trained on with its weights rounded to that width."""
        return self._fitted(
            quantize_weights(net, bits), self.settings.quantized_epochs, self.settings.quantized_lr, place, self.keys[1]
        )

    def outputs(self, net: SpikingNetwork, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs of the float network on the test set, (samples, classes)."""
        return event_logits(net, rows(images))

    def graph(self, net: SpikingNetwork) -> nir.NIRGraph:
        """The network as a NIR graph."""
        return to_nir(net)

    def calibration(self, graph: nir.NIRGraph, images: NDArray[np.float32]) -> dict[str, Int64]:
        """The rows as they would be sent."""
        return {"input": rows(images).astype(np.int64)}

    def predicted(self, artifact: Artifact, images: NDArray[np.float32]) -> Int64:
        """Classes that the integer network predicts, (samples,)."""
        return run(artifact, spikes=rows(images).astype(np.int64)).prediction

    def _fitted(self, net: SpikingNetwork, epochs: int, lr: float, place: Path, key: str) -> SpikingNetwork:
        """Train the network, or read it where an earlier run saved it."""
        settings = FitSettings(
            epochs=epochs, batch_size=self.settings.batch_size, lr=lr, clip_norm=1.0, seed=self.seed, threads=1
        )

        def make(folder: Path) -> SpikingNetwork:
            """Train the network and save it."""
            train_on_events(
                net, rows(self.data.train_images), self.data.train_labels, settings=settings, state_folder=folder,
                resume=True, identity=key,
            )  # fmt: skip
            save_checkpoint(net, folder)
            return net

        stage = Stage(folder=place, key=key)
        return stage.load_or_make(load=lambda p: load_checkpoint(p).spiking, make=make, discard=discard_state)
