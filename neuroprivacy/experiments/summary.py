"""What the report is told: plain values from the stations and the deployed network."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from neuroprivacy.core.provenance import provenance
from neuroprivacy.data import Dataset
from neuroprivacy.energy import measure_energy
from neuroprivacy.experiments.deployed import Deployed
from neuroprivacy.experiments.networks import Stations
from neuroprivacy.experiments.settings import DeploymentSettings
from neuroprivacy.networks.families import count_parameters

_TITLES = {
    "ann": "ANN, float32",
    "converted": "SNN, converted without data",
    "encrypted": "SNN after class encryption training",
    "integer": "integers of the target",
}


def summarize(
    dataset: Dataset, *, settings: DeploymentSettings, stations: Stations, deployed: Deployed, command: str
) -> dict[str, Any]:
    """The content of `report.json`."""
    program = deployed.lowered.program
    samples = len(dataset.test_labels)
    measured = {**stations.accuracy, "integer": deployed.simulation.accuracy(dataset.test_labels)}
    energy = measure_energy(program, counts=deployed.simulation.counts, samples=samples)
    return {
        "title": f"{dataset.name}: from an ANN to {program.target.name}",
        "command": command,
        "dataset": {"name": dataset.name, "test_samples": samples, "classes": dataset.num_classes},
        "model": {
            "family": settings.model.family,
            "parameters": count_parameters(stations.ann),
            "spec": settings.model.describe(),
        },
        "stations": [
            {"name": name, "title": title, "accuracy": measured[name], "samples": samples, "note": ""}
            for name, title in _TITLES.items()
        ],
        "prediction_changes": [
            {"between": "encrypted → integer", "changed": deployed.changed, "samples": samples},
        ],
        "layers": _layers(deployed, samples),
        "energy": energy.to_dict(),
        "backends": {
            name: {
                "samples": verdict.samples,
                "identical": verdict.identical,
                "compared": ["every spike", "final u", "final v", "readout", "counts"],
                "differences": list(verdict.differences),
                "versions": verdict.versions,
            }
            for name, verdict in deployed.verdicts.items()
        },
        "issues": [asdict(issue) for issue in deployed.lowered.diagnostics],
        "weight_change": stations.encryption_info.get("weights", {}),
        "encoder": dict(program.encoder),
        "target": {
            "name": program.target.name,
            "title": program.target.title,
            "simulation_only": program.target.simulation_only,
            "membrane_max": program.target.membrane_range[1],
        },
        "program": {
            "content_hash": program.content_hash,
            "latency": program.latency,
            "readout": program.readout,
            "max_steps": program.max_steps,
        },
        "provenance": provenance(
            command=command,
            seed=settings.seed,
            threads=settings.training.threads,
            data_digest=dataset.digest(),
            settings=_plain(asdict(settings)),
        ),
        "timing": {"seconds": {**stations.seconds, **deployed.seconds}},
    }


def _layers(deployed: Deployed, samples: int) -> list[dict[str, Any]]:
    """One row for each layer."""
    counts = deployed.simulation.counts
    totals = counts.totals()
    rows = []
    for layer in deployed.lowered.program.layers:
        seen = totals[layer.name]
        spikes = int(counts.layers[layer.name].spikes.sum())
        rows.append(
            {
                "name": layer.name,
                "neurons": layer.size,
                "rate": spikes / (samples * counts.steps * layer.size),
                "spikes_per_inference": spikes / samples,
                "operations_per_inference": int(counts.layers[layer.name].operations.sum()) / samples,
                "max_activation": seen["max_activation"],
                "max_current": seen["max_current"],
                "max_membrane": seen["max_membrane"],
                "threshold": int(layer.threshold.min()) if layer.fires else None,
                "wraps": seen["wraps"],
                "saturations": seen["saturations"],
                "weight_scale": layer.scale[0],
                "weight_levels": len(np.unique(np.concatenate([e.map.weight.reshape(-1) for e in layer.edges]))),
            }
        )
    return rows


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON will have them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
