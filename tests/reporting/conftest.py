"""A whole report with numbers that are all different."""

from typing import Any

import numpy as np
import pytest

from neuroprivacy.energy import measure_energy
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing.random_programs import random_case


def energy_section() -> dict[str, Any]:
    case = random_case(5, steps=12, samples=3, max_neurons=16)
    return measure_energy(case.program, counts=run_reference(case.program, case.spikes).counts, samples=3).to_dict()


ENERGY = energy_section()


def whole() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    layers = [
        {
            "name": name, "neurons": 100 + i, "rate": 0.0512 + i / 9, "spikes_per_inference": 31.25 + i,
            "operations_per_inference": 20417.5 + i, "max_activation": 811 + i, "max_current": 52011 + i,
            "max_membrane": 611213 + i, "threshold": 901 + i, "wraps": 2 + i, "saturations": 71 + i,
            "weight_scale": 0.00731 + i / 1000, "weight_levels": 201 + i,
        }
        for i, name in enumerate(("conv1", "fc1"))
    ]  # fmt: skip
    return {
        "title": "A run",
        "command": "neuroprivacy demo --seed 7",
        "dataset": {"name": "digits", "test_samples": 361, "classes": 10},
        "model": {"family": "convnet", "parameters": 38154, "spec": {"channels": [16, 33]}},
        "stages": [
            {"name": n, "title": n.title(), "accuracy": float(a), "samples": 361, "note": f"note of {n}"}
            for n, a in zip(("ann", "converted", "encrypted", "integer"), rng.random(4), strict=True)
        ],
        "prediction_changes": [{"between": "encrypted → integer", "changed": 17, "samples": 361}],
        "layers": layers,
        "energy": ENERGY,
        "backends": {
            "fixedpoint": {
                "samples": 359,
                "identical": True,
                "compared": ["spikes"],
                "differences": [],
                "versions": {"numba": "0.63"},
            },
            "lava": {
                "samples": 8,
                "identical": False,
                "compared": ["spikes", "final v"],
                "differences": ["fc1: v differs"],
                "versions": {},
            },
        },
        "issues": [
            {
                "where": "fc1",
                "what": "fan-in",
                "value": 4097,
                "limit": 4096,
                "hint": "split it",
                "fatal": True,
            }
        ],
        "weight_change": {
            "fc1": {"relative_distance": 0.412, "cosine": 0.913},
            "conv1": {"relative_distance": 0.187, "cosine": 0.984},
        },
        "encoder": {"coding": "poisson", "steps": 43},
        "target": {"name": "loihi2", "title": "Intel Loihi 2", "simulation_only": False},
        "program": {"content_hash": "024d705709", "latency": 4, "readout": "spike_count", "max_steps": 64},
        "provenance": {
            "versions": {"python": "3.11.7"},
            "machine": {"cores": 3},
            "seed": 1234567,
            "threads": 2,
        },
        "timing": {"seconds": {"train": 11.83}},
        "privacy": {"membership": {"auc": 0.5871}},
        "further": {"sweep": {"point": 29}},
    }


@pytest.fixture
def data() -> dict[str, Any]:
    """A report that has every section."""
    return whole()
