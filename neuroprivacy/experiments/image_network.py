"""Networks on images whose cost in integers is measured: spiking networks of our families, trained with surrogates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.conversion import convert
from neuroprivacy.core.stages import Stage
from neuroprivacy.data import Dataset
from neuroprivacy.experiments.presets import default_training
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph.encode import encode_for
from neuroprivacy.kernels.formats import Int64, WeightBits
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks import (
    Ann,
    ModelSpec,
    SpikingNetwork,
    SpikingSpec,
    load_checkpoint,
    model_spec,
    save_checkpoint,
)
from neuroprivacy.runtime.backend import Artifact
from neuroprivacy.runtime.simulation import simulate
from neuroprivacy.training import FitSettings, logits, train
from neuroprivacy.training.fit import discard_state
from neuroprivacy.training.quantized_start import quantized_start


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Settings of one network of the precision experiment.

    Attributes:
        dataset: its data.
        family: of `neuroprivacy.networks.families`; likewise `width` and `hidden`.
        steps: time steps T.
        ann_epochs: of an ANN whose weights the spiking network starts from; 0 trains it from scratch.
        epochs: of the spiking network, likewise `quantized_epochs` of training at a width.
        lr: of both.
    """

    dataset: str
    family: str
    steps: int
    epochs: int
    quantized_epochs: int = 1
    ann_epochs: int = 0
    width: float = 1.0
    hidden: tuple[int, ...] | None = None
    batch_norm: bool = False
    lr: float = 2e-3
    quantized_lr: float = 5e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNetwork:
    """One network under one reset rule and seed, with all that it needs to be measured.

    Attributes:
        network: its settings.
        data: its data set.
        reset: rule.
        target: the chip; training at a width computes its integer neurons.
        seed: of training.
        folder: of its stages.
        keys: of everything that the float network depends on, and the ones that are trained on at a width.
        populations: most that a layer may become where it is trained on at a width.
        samples: training images that choose the integers which that begins with.
    """

    network: Network
    data: Dataset
    reset: Reset
    target: str
    seed: int
    folder: Path
    keys: tuple[str, str]
    populations: int
    samples: int

    @property
    def title(self) -> str:
        """The network's name in the result table."""
        return f"{self.network.family} x {self.network.width:g}, T = {self.network.steps}"

    def describe(self) -> dict[str, Any]:
        """The network's settings, as values that JSON can hold."""
        return asdict(self.network)

    def outputs(self, net: SpikingNetwork, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs of the float network on the test set, (samples, classes)."""
        return logits(net, images)

    def graph(self, net: SpikingNetwork) -> nir.NIRGraph:
        """The network as a NIR graph."""
        return to_nir(net)

    def calibration(self, graph: nir.NIRGraph, images: NDArray[np.float32]) -> dict[str, Int64]:
        """The calibration images, encoded as the network receives them."""
        return encode_for(graph, images)

    def predicted(self, artifact: Artifact, images: NDArray[np.float32]) -> Int64:
        """Classes that the integer network predicts, (samples,)."""
        return simulate(artifact, images=images).prediction

    def trained_at(self, net: SpikingNetwork, bits: WeightBits, place: Path) -> SpikingNetwork:
        """Trained on at that width, in the target's integers."""

        def make() -> SpikingNetwork:
            """Train the network and save it."""
            start = quantized_start(
                net, bits=bits, target=self.target, populations=self.populations,
                images=self.data.train_images[: self.samples],
            )  # fmt: skip
            settings = FitSettings(
                epochs=self.network.quantized_epochs, batch_size=64, lr=self.network.quantized_lr, seed=self.seed,
                threads=1,
            )  # fmt: skip
            return self._fitted(start, settings, place)

        return self._stage(place, self.keys[1], make)

    def trained(self) -> SpikingNetwork:
        """The trained float spiking network."""
        settings = FitSettings(epochs=self.network.epochs, batch_size=64, lr=self.network.lr, seed=self.seed, threads=1)
        place = self.folder / "float"

        def from_scratch() -> SpikingNetwork:
            """Train the spiking network by backpropagation through time, without an ANN."""
            spiking = SpikingSpec(coding="direct", time_steps=self.network.steps, reset=self.reset)
            return self._fitted(self._spec(), settings, place, spiking=spiking)

        def from_ann() -> SpikingNetwork:
            """An ANN, converted on training images, then trained on."""
            start = convert(
                self._ann(), calibration=self.data.train_images[:200], time_steps=self.network.steps,
                reset=self.reset, coding="direct", seed=self.seed,
            )  # fmt: skip
            return self._fitted(start, settings, place)

        return self._stage(place, self.keys[0], from_ann if self.network.ann_epochs else from_scratch)

    def _ann(self) -> Ann:
        """The ANN that the spiking network starts from; both reset rules share it."""
        place, spec = self.folder.parent / f"{self.network.dataset}-ann-{self.seed}", self._spec()
        if (place / "model.json").exists():
            return load_checkpoint(place).ann
        settings = replace(default_training(self.data.name, seed=self.seed), epochs=self.network.ann_epochs)
        ann = train(spec, dataset=self.data, settings=settings, state_folder=place, resume=True)
        assert isinstance(ann, Ann)
        save_checkpoint(ann, place, spec=spec)
        return ann

    def _spec(self) -> ModelSpec:
        network, data = self.network, self.data
        return model_spec(
            network.family, input_shape=data.sample_shape, classes=data.num_classes, hidden=network.hidden,
            width=network.width, batch_norm=network.batch_norm,
        )  # fmt: skip

    def _fitted(
        self, model: ModelSpec | SpikingNetwork, settings: FitSettings, place: Path, spiking: SpikingSpec | None = None
    ) -> SpikingNetwork:
        made = train(model, dataset=self.data, settings=settings, state_folder=place, resume=True, spiking=spiking)
        assert isinstance(made, SpikingNetwork)
        return made

    def _stage(self, place: Path, key: str, make: Callable[[], SpikingNetwork]) -> SpikingNetwork:
        """The network of a folder, made if it is not there or has another key."""

        def saved(folder: Path) -> SpikingNetwork:
            """Make the network and save it."""
            net = make()
            save_checkpoint(net, folder)
            return net

        def loaded(folder: Path) -> SpikingNetwork:
            """Read the saved network."""
            return load_checkpoint(folder).spiking

        return Stage(folder=place, key=key).load_or_make(load=loaded, make=saved, discard=discard_state)
