"""The benchmarks' own parts: the workloads' rates, their integers, a peer's answers, the page. Nothing is timed."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from neuroprivacy.backend import Record
from neuroprivacy.program import save_program
from neuroprivacy.reference import run_reference

HERE = Path(__file__).parents[2] / "benchmarks"


def module(name: str) -> ModuleType:
    spec = spec_from_file_location(f"bench_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


workloads, page = module("workloads"), module("page")


@pytest.fixture(scope="module")
def weights() -> list[np.ndarray]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made = workloads.make_weights(workloads.WORKLOADS["W1"])
    torch.set_num_threads(before)
    return made


def test_the_integers_fire_as_the_floats_do(weights: list[np.ndarray]) -> None:
    workload = workloads.WORKLOADS["W1"]
    inputs = workload.inputs(4)
    x = torch.from_numpy(inputs).float().transpose(0, 1)
    program = workloads.program_of(workload, weights)
    checked = {"input": inputs.reshape(4, 32, -1).astype(np.int64)}
    spikes = run_reference(program, checked, record=Record(spikes=True)).layer_spikes
    assert spikes is not None
    for i, weight in enumerate(weights):
        x = workloads.fire(workloads.apply(workload.layers[i], torch.from_numpy(weight), x))
        own = spikes[f"layer{i}"][:, i + 1 : i + 33].mean()
        assert abs(float(x.mean()) - own) < page.RATE_TOLERANCE
        assert abs(own - workload.rate) < page.LAST_TOLERANCE


def test_a_peer_answers(weights: list[np.ndarray], tmp_path: Path) -> None:
    workload = workloads.WORKLOADS["W1"]
    np.savez(tmp_path / "weights.npz", *weights)
    np.save(tmp_path / "inputs.npy", workload.inputs(4))
    (tmp_path / "layers.txt").write_text("\n".join(workload.layers))
    save_program(workloads.program_of(workload, weights), tmp_path / "program")
    requests = [
        {"do": "load", "folder": str(tmp_path), "threads": 1}, {"do": "rates"}, {"do": "run", "first": 3, "batch": 2},
        {"do": "train", "batch": 2, "steps": 4}, {"do": "memory"}, {"do": "run", "first": "x", "batch": 1},
    ]  # fmt: skip
    for peer in ("neuroprivacy", "manual"):
        done = subprocess.run(
            [sys.executable, str(HERE / "peers" / f"{peer}_peer.py")], cwd=HERE / "peers", text=True,
            input="\n".join(map(json.dumps, requests)), capture_output=True, check=True,
            env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )  # fmt: skip
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert "torch" in answers[0]["versions"]
        assert len(answers[1]["rates"]) == 3
        assert answers[2]["seconds"] > 0
        assert "error" in answers[5]
        if peer == "neuroprivacy":
            assert answers[3]["seconds"] > 0
            assert answers[4]["bytes"] > 1e7


def test_the_page_states_what_was_met_and_what_was_not(tmp_path: Path) -> None:
    peers = {name: {"versions": {}, "rates": [0.1, 0.1, 0.1]} for name in page.TITLES}
    peers["sinabs"] = {"missing": "pip failed"}
    times = {"neuroprivacy": [1e-4, 2e-4], "manual": [1e-3, 2e-3], "snntorch": [0.02, 0.04], "lava": [0.05, 0.06]}
    found = {
        "machine": {"processor": "P", "cores": 2, "system": "S"}, "versions": {"a": "1"}, "threads": 2, "rounds": 2,
        "bounds": {"W2 int16": 4e10}, "scaling": {"rate": [{"x": 0.1, "seconds": 1e-4}]},
        "workloads": {
            "W1": {
                "peers": peers, "inference": {"1": times}, "adds_per_sample": 2e6, "dense_per_sample": 2e7,
                "training": {"batch": 128, "steps": 32, "seconds": {"neuroprivacy": [1.0], "spikingjelly": [1.6]}},
                "memory": {"neuroprivacy": 1e8, "spikingjelly": 2e8},
            }
        },
    }  # fmt: skip
    page.write_page(found, tmp_path / "performance.md")
    text = (tmp_path / "performance.md").read_text()
    assert "| W1, batch 1, against the fastest peer on torch | 60 x | 200.0 x | met |" in text
    assert "| W1, batch 1, against torch, layer by layer | 15 x | 10.0 x | missed |" in text
    assert "| W2, batch 1, against the fastest peer on torch | 4 x | not run | |" in text
    assert "| W1, training, against SpikingJelly | 1.5 x | 1.60 x, with no more memory | met |" in text
    assert "| W1 | sinabs | not run: pip failed |" in text
    assert (tmp_path / "performance.png").stat().st_size > 1000
