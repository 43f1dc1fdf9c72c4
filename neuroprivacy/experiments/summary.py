"""The report of a deployment run, from its pipeline stages and the deployed network."""

from __future__ import annotations

import numpy as np

from neuroprivacy.core.provenance import provenance
from neuroprivacy.core.storage import plain
from neuroprivacy.data import Dataset
from neuroprivacy.energy import measure_energy
from neuroprivacy.experiments.deployed import Deployed
from neuroprivacy.experiments.networks import StageResults
from neuroprivacy.experiments.settings import DeploymentSettings
from neuroprivacy.networks.families import count_parameters
from neuroprivacy.reporting.schema import (
    BackendRow,
    DatasetSection,
    LayerRow,
    Model,
    PredictionChange,
    Report,
    StageRow,
    Target,
    WeightChange,
)

_TITLES = {
    "ann": "ANN, float32",
    "converted": "SNN, converted without data",
    "encrypted": "SNN after class encryption training",
    "integer": "integers of the target",
}
_COMPARED = ("every spike", "final u", "final v", "readout", "counts")


def summarize(
    dataset: Dataset, *, settings: DeploymentSettings, stages: StageResults, deployed: Deployed, command: str
) -> Report:
    """Build the report of a deployment run."""
    program = deployed.lowered.program
    samples = len(dataset.test_labels)
    measured = {**stages.accuracy, "integer": deployed.simulation.accuracy(dataset.test_labels)}
    energy = measure_energy(program, counts=deployed.simulation.counts, samples=samples)
    return Report(
        title=f"{dataset.name}: from an ANN to {program.target.name}",
        command=command,
        dataset=DatasetSection(name=dataset.name, test_samples=samples, classes=dataset.num_classes),
        model=Model(
            family=settings.model.family, parameters=count_parameters(stages.ann), spec=settings.model.describe()
        ),
        stages=tuple(
            StageRow(name=name, title=title, accuracy=measured[name], samples=samples, note="")
            for name, title in _TITLES.items()
        ),
        prediction_changes=(
            PredictionChange(between="encrypted → integer", changed=deployed.changed, samples=samples),
        ),
        layers=_layers(deployed, samples),
        energy=energy.record(),
        backends={
            name: BackendRow(
                samples=verdict.samples, identical=verdict.identical, compared=_COMPARED,
                differences=verdict.differences, versions=verdict.versions,
            )
            for name, verdict in deployed.verdicts.items()
        },
        issues=deployed.lowered.diagnostics,
        weight_change={
            name: WeightChange(**change) for name, change in stages.encryption_info.get("weights", {}).items()
        },
        encoder=dict(program.encoder),
        target=Target(
            name=program.target.name, title=program.target.title, simulation_only=program.target.simulation_only,
            membrane_limit=program.target.membrane_range[1],
        ),
        program={
            "content_hash": program.content_hash,
            "latency": program.latency,
            "readout": program.readout,
            "max_steps": program.max_steps,
        },
        provenance=provenance(
            command=command,
            seed=settings.seed,
            threads=settings.training.threads,
            data_digest=dataset.digest(),
            settings=plain(settings),
        ),
        timing={"seconds": {**stages.seconds, **deployed.seconds}},
    )  # fmt: skip


def _layers(deployed: Deployed, samples: int) -> tuple[LayerRow, ...]:
    """The report's table of layers."""
    counts = deployed.simulation.counts
    totals = counts.totals()
    rows = []
    for layer in deployed.lowered.program.layers:
        seen = totals[layer.name]
        spikes = int(counts.layers[layer.name].spikes.sum())
        rows.append(
            LayerRow(
                name=layer.name,
                neurons=layer.size,
                rate=spikes / (samples * counts.steps * layer.size),
                spikes_per_inference=spikes / samples,
                operations_per_inference=int(counts.layers[layer.name].operations.sum()) / samples,
                max_activation=seen["max_activation"],
                max_current=seen["max_current"],
                max_membrane=seen["max_membrane"],
                threshold=int(layer.threshold.min()) if layer.fires else None,
                wraps=seen["wraps"],
                saturations=seen["saturations"],
                weight_scale=layer.scale[0],
                weight_levels=len(np.unique(np.concatenate([e.map.weight.reshape(-1) for e in layer.edges]))),
            )
        )
    return tuple(rows)
