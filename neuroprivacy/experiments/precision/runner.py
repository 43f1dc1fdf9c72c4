"""Measure one network of the catalogue; results are stored after each part and taken up again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.provenance import machine, versions
from neuroprivacy.core.stages import stage_key
from neuroprivacy.core.storage import read_json, write_json
from neuroprivacy.data import load_dataset
from neuroprivacy.experiments.first_layer import limited_channels
from neuroprivacy.experiments.image_network import ImageNetwork, Network
from neuroprivacy.experiments.precision import catalogue
from neuroprivacy.experiments.recurrent import RowNetwork, Rows
from neuroprivacy.kernels.formats import Int64, WeightBits
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.networks import set_threads
from neuroprivacy.networks.noise import noisy
from neuroprivacy.runtime.backend import Artifact, build


class Subject(Protocol):
    """What the runner needs of a network to measure it."""

    @property
    def title(self) -> str:
        """The network's name in the result table."""

    def describe(self) -> dict[str, Any]:
        """The network's settings, as values that JSON can hold."""

    def trained(self) -> Any:
        """The float network, trained or taken up."""

    def trained_at(self, net: Any, bits: WeightBits, place: Path) -> Any:
        """The network, trained on at a width."""

    def outputs(self, net: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs of the float network on the test set, (samples, classes)."""

    def graph(self, net: Any) -> nir.NIRGraph:
        """The network as a NIR graph."""

    def calibration(self, graph: nir.NIRGraph, images: NDArray[np.float32]) -> Mapping[str, Int64]:
        """The images as they would be sent."""

    def predicted(self, artifact: Artifact, images: NDArray[np.float32]) -> Int64:
        """Classes that the integer network predicts, (samples,)."""


def measure(
    name: str,
    *,
    reset: Reset,
    seed: int,
    folder: Path,
    data_root: Path | None,
    ways: Sequence[str] = tuple(catalogue.WAYS),
) -> dict[str, Any]:
    """One network under one reset rule: what is in `folder` is taken up, the rest is made."""
    network = catalogue.NETWORKS[name]
    data = load_dataset(network.dataset, data_root=data_root)
    set_threads(1)
    # How a network is trained on at a width does not touch the float one.
    key, width_key = (
        stage_key((settings, reset, seed, data.digest()))
        for settings in (
            replace(network, quantized_epochs=0, quantized_lr=0.0),
            (network, catalogue.POPULATIONS, catalogue.CALIBRATION),
        )
    )
    path = folder / "precision.json"
    found = read_json(path) if path.exists() else {}
    if found.get("key") != key:
        found = {"key": key, "ways": {}}
    target, subject = catalogue.TARGETS[reset], _subject(network, data, reset, seed, folder, (key, width_key))
    net = subject.trained()
    expected = subject.outputs(net, data.test_images).argmax(1)
    found |= {
        "title": subject.title, "network": subject.describe(), "name": name, "reset": reset, "target": target,
        "seed": seed, "float": float((expected == data.test_labels).mean()), "versions": versions(),
        "machine": machine(),
    }  # fmt: skip
    for of, sizes, layers in (("sensitivity", catalogue.NOISE, None), ("first_sensitivity", catalogue.FIRST_NOISE, 1)):
        if of not in found:
            changed = {size: subject.outputs(noisy(net, size, layers=layers), data.test_images) for size in sizes}
            found[of] = {str(size): float((each.argmax(1) != expected).mean()) for size, each in changed.items()}
            write_json(path, found)
    if "limited" not in found and (limited := _bounded(network, subject.graph(net), target)):
        found["limited"] = limited
        write_json(path, found)
    for way in ways:
        if found["ways"].get(way, {}).get("key") == width_key:
            continue
        begun = time.perf_counter()
        bits, trained, calibrated = catalogue.WAYS[way]
        used = subject.trained_at(net, bits, folder / way.replace(", ", "-").replace(" ", "")) if trained else net
        graph = subject.graph(used)
        given = subject.calibration(graph, data.train_images[: catalogue.CALIBRATION]) if calibrated else None
        lowered = lower(
            graph,
            target=target,
            options=LowerOptions(weight_bits=bits, calibration=given, populations=catalogue.POPULATIONS),
        )
        artifact = build(lowered.program, backend="fixedpoint", folder=folder / "program")
        prediction = subject.predicted(artifact, data.test_images)
        result = {
            "key": width_key,
            "accuracy": float((prediction == data.test_labels).mean()),
            "changed": float((prediction != expected).mean()),
            "populations": {layer: len(parts) for layer, parts in lowered.real_network.populations.items()},
            "seconds": round(time.perf_counter() - begun, 1),
        }
        if trained:
            own = subject.outputs(used, data.test_images).argmax(1)
            result["trained_float"] = float((own == data.test_labels).mean())
            result["differing_from_itself"] = int((own != prediction).sum())
        found["ways"][way] = result
        write_json(path, found)
    return found


def _bounded(network: Network | Rows, graph: nir.NIRGraph, target: str) -> tuple[int, int] | None:
    """Channels of a first layer of graded input whose unit the chip bounds rather than 8 bits, of how many."""
    if isinstance(network, Rows):
        return None
    return limited_channels(graph, target=target, bits=8, steps=network.steps)


def _subject(
    network: Network | Rows, data: Any, reset: Reset, seed: int, folder: Path, keys: tuple[str, str]
) -> Subject:
    """Build the network of a catalogue entry, with its data."""
    if isinstance(network, Rows):
        return RowNetwork(settings=network, data=data, seed=seed, folder=folder, keys=keys)
    return ImageNetwork(
        network=network,
        data=data,
        reset=reset,
        target=catalogue.TARGETS[reset],
        seed=seed,
        folder=folder,
        keys=keys,
        populations=catalogue.POPULATIONS,
        samples=catalogue.CALIBRATION,
    )
