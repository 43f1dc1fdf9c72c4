"""From the trained spiking network to the integers, computed by every backend and compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroprivacy.core.progress import Progress
from neuroprivacy.core.provenance import versions
from neuroprivacy.data import Dataset
from neuroprivacy.experiments.settings import DeploymentSettings
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import save_nir
from neuroprivacy.lowering import Lowered, LowerOptions, lower
from neuroprivacy.networks import SpikingNetwork
from neuroprivacy.runtime.backend import Record, RunResult, build, check_inputs, load_backend
from neuroprivacy.runtime.compare import compare
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.runtime.results import Simulation
from neuroprivacy.runtime.simulation import encode_samples, simulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Comparison of a backend with the reference.

    Attributes:
        samples: number of compared samples.
        identical: no integer differs.
        differences: texts, one for each difference.
        versions: of the software that ran.
    """

    samples: int
    identical: bool
    differences: tuple[str, ...]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deployed:
    """An integer network and its results on the test set.

    Attributes:
        lowered: the Program with its diagnostics.
        simulation: the whole test set, by the fast simulator.
        changed: test samples whose prediction differs from the float network's.
        verdicts: backend -> comparison with the reference.
        reference: the reference's run on the compared samples.
        seconds: duration of each part.
    """

    lowered: Lowered
    simulation: Simulation
    changed: int
    verdicts: dict[str, Verdict]
    reference: RunResult
    seconds: dict[str, float]


def deploy(
    net: SpikingNetwork,
    dataset: Dataset,
    *,
    settings: DeploymentSettings,
    folder: Path,
    expected: np.ndarray[Any, np.dtype[np.int64]],
    progress: Callable[[str], Progress],
) -> Deployed:
    """Lower, build for every backend, compare them on samples, and run the whole test set.

    Args:
        net: the network to deploy.
        dataset: its test split is used.
        settings: target, backends, number of compared samples, seed.
        folder: `network.nir` and one folder for each backend are written there.
        expected: predictions of the float network on the test split.
        progress: stage name -> progress of that stage.
    """
    seconds: dict[str, float] = {}
    graph = to_nir(net)
    save_nir(graph, folder / "network.nir")
    options = LowerOptions(seed=settings.seed)
    lowered = lower(graph, target=settings.target, options=options, provenance={"versions": versions()})
    program = lowered.program
    inputs = check_inputs(program, encode_samples(program, dataset.test_images[: settings.verify_samples]))
    record = Record(spikes=True, final=True)
    reference = run_reference(program, inputs, record=record)
    verdicts = {
        "reference": Verdict(
            samples=len(reference.readout), identical=True, differences=(), versions=dict(reference.versions)
        )
    }
    report_progress = progress("backends")
    for i, name in enumerate(settings.backends):
        begun = time.perf_counter()
        report_progress(i, len(settings.backends), name)
        artifact = build(program, backend=name, folder=folder / name)
        got = load_backend(name).run(artifact, inputs, record)
        differences = tuple(str(d) for d in compare(reference, got))
        verdicts[name] = Verdict(
            samples=len(got.readout),
            identical=not differences,
            differences=differences,
            versions=dict(got.versions),
        )
        seconds[name] = round(time.perf_counter() - begun, 2)
    begun = time.perf_counter()
    artifact = build(program, backend="fixedpoint", folder=folder / "fixedpoint")
    simulation = simulate(artifact, images=dataset.test_images, progress=progress("integer"))
    seconds["integer"] = round(time.perf_counter() - begun, 2)
    return Deployed(
        lowered=lowered,
        simulation=simulation,
        changed=int((simulation.prediction != expected).sum()),
        verdicts=verdicts,
        reference=reference,
        seconds=seconds,
    )
