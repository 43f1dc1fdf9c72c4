"""Shards over processes and Ray: the same results in the same order, and only what is missing is computed again."""

from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.core import parallel
from neuroprivacy.core.errors import BackendUnavailable, BadFile, ConfigurationError
from neuroprivacy.core.parallel import run_tasks
from neuroprivacy.program import Program
from neuroprivacy.runtime import sharding
from neuroprivacy.runtime.backend import Artifact, build
from neuroprivacy.runtime.results import Simulation
from neuroprivacy.runtime.sharding import simulate_sharded
from neuroprivacy.runtime.simulation import simulate
from neuroprivacy.testing.case import edge, layer, network


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    rng = np.random.default_rng(0)
    layers = [
        layer("a", [edge("input", rng.integers(-40, 90, (7, 9)))], threshold=100),
        layer("b", [edge("a", rng.integers(-40, 90, (3, 7)))], threshold=80),
    ]
    plain = network(layers)
    program = Program(
        target=plain.target, inputs=plain.inputs, layers=plain.layers, outputs=plain.outputs, readout=plain.readout,
        latency=plain.latency, encoder={"coding": "poisson", "steps": 6, "seed": 4},
    )  # fmt: skip
    return build(program, backend="fixedpoint", folder=tmp_path / "artifact")


SAMPLES = np.random.default_rng(1).random((23, 9)).astype(np.float32)


def same(a: Simulation, b: Simulation) -> None:
    assert np.array_equal(a.readout, b.readout)
    assert np.array_equal(a.prediction, b.prediction)
    assert a.counts.totals() == b.counts.totals()
    assert a.counts.steps == b.counts.steps
    for name, counts in a.counts.layers.items():
        other = b.counts.layers[name]
        assert np.array_equal(counts.spikes, other.spikes)
        assert np.array_equal(counts.operations, other.operations)
        assert all(map(np.array_equal, counts.edge_operations, other.edge_operations))
    assert a.versions == b.versions


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_shards_give_what_one_run_gives(engine: parallel.Engine, artifact: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    other = build(artifact.program, backend="reference", folder=tmp_path / "other")
    got = simulate_sharded(
        [artifact, other], images=SAMPLES, folders=[folder, tmp_path / "more"], engine=engine, workers=2, shard=5
    )
    same(simulate(artifact, images=SAMPLES), got[0])
    same(simulate(other, images=SAMPLES), got[1])
    assert len(list(folder.glob("shard-*.npz"))) == 5


def test_only_missing_shards_are_computed_again(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(function, tasks, **_):
        for i, task in enumerate(tasks):
            computed.append(task.first)
            yield i, function(task)

    computed: list[int] = []
    monkeypatch.setattr(sharding, "run_tasks", here)
    told: list[tuple[int, int]] = []

    def run(*, resume: bool, count: int = 23) -> Simulation:
        computed.clear()
        (found,) = simulate_sharded(
            [artifact], images=SAMPLES[:count], folders=[tmp_path], shard=10, resume=resume,
            progress=lambda done, total, _: told.append((done, total)),
        )  # fmt: skip
        return found

    whole = run(resume=False)
    assert computed == [0, 10, 20]
    assert told == [(1, 3), (2, 3), (3, 3)]
    (tmp_path / "shard-00000010.npz").unlink()
    same(whole, run(resume=True))
    assert computed == [10]
    same(whole, run(resume=True))
    assert computed == []
    run(resume=False)
    assert computed == [0, 10, 20]
    with pytest.raises(BadFile, match="belongs to another run; use the same options"):
        run(resume=True, count=22)
    (tmp_path / "shard-00000010.npz").write_bytes(b"half")
    with pytest.raises(BadFile, match="is not a readable npz archive"):
        run(resume=True)


def test_the_order_of_results_is_told_not_kept() -> None:
    found = dict(run_tasks(abs, [-3, -1, 2], workers=2))
    assert found == {0: 3, 1: 1, 2: 2}


def test_senseless_engines_are_refused(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"engine: 'local' with 0 workers; choose local or ray, at least 1"):
        list(run_tasks(abs, [1], workers=0))
    with pytest.raises(ConfigurationError, match="0 samples in shards of 5 cannot be run"):
        simulate_sharded([artifact], images=SAMPLES[:0], folders=[tmp_path], shard=5)
    with pytest.raises(ConfigurationError, match="2 programs need as many folders, 1 given"):
        simulate_sharded([artifact, artifact], images=SAMPLES, folders=[tmp_path, tmp_path], shard=5)
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(BackendUnavailable, match=r"ray is not installed; pip install 'neuroprivacy\[ray\]'"):
        list(run_tasks(abs, [1], engine="ray"))
