"""Lava itself, briefly; `hw_tests` hold it against everything. These need a Python 3.10, see the README."""

from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.program import ConvMap, Port
from neuroprivacy.runtime.backend import Record, load_backend
from neuroprivacy.runtime.compare import compare
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing import hand_made_cases
from neuroprivacy.testing.case import edge, layer, network
from neuroprivacy.testing.conformance import hold_case
from neuroprivacy_lava import LavaBackend
from neuroprivacy_lava.worker_process import worker_script
from tools import golden


@pytest.mark.slow
@pytest.mark.lava
def test_one_rule(tmp_path: Path) -> None:
    (case,) = [c for c in hand_made_cases() if c.name == "u_wraps_while_decaying"]
    outcome = hold_case(load_backend("lava"), case, tmp_path)
    assert (outcome.status, outcome.detail) == ("passed", "")


@pytest.mark.slow
@pytest.mark.lava
def test_convolution_delay_and_soft_reset(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    linear = ConvMap(
        weight=rng.integers(-90, 91, (2, 1, 3, 3)),
        in_shape=(1, 6, 6),
        pool=(2, 2),
        pool_stride=(1, 1),
        stride=(1, 2),
    )
    itself = np.eye(4, dtype=int)
    program = network(
        [
            layer("a", [edge("input", linear)], threshold=200, du=1500, dv=300, bias=40, reset="soft"),
            layer(
                "b",
                [edge("a", rng.integers(-99, 99, (4, 12)), delay=3), edge("b", -30 * itself, delay=2)],
                threshold=60, dv=100, reset="soft",
            ),
        ],
        target="loihi2-soft", inputs=(Port(name="input", shape=(1, 6, 6)),), latency=4,
    )  # fmt: skip
    inputs = {"input": rng.integers(0, 2, (2, 12, 36))}
    record = Record(spikes=True, final=True)
    backend = load_backend("lava")
    result = backend.run(backend.build(program, tmp_path), inputs, record)
    expected = run_reference(program, inputs, record=record)
    assert compare(expected, result) == ()
    assert expected.layer_spikes is not None
    assert all(0.02 < fired.mean() < 0.8 for fired in expected.layer_spikes.values())


@pytest.mark.slow
@pytest.mark.lava
def test_more_samples_than_one_chunk_holds(tmp_path: Path) -> None:
    text = worker_script().read_text()
    assert "MAX_CHUNK = 128\n" in text
    rng = np.random.default_rng(6)
    program = network(
        [
            layer("a", [edge("input", rng.integers(-60, 90, (5, 4)))], threshold=70, dv=200),
            layer("b", [edge("a", rng.integers(-60, 90, (3, 5)))], threshold=70, bias=90),
        ]
    )
    inputs = {"input": rng.integers(0, 2, (300, 6, 4))}
    backend = load_backend("lava")
    result = backend.run(backend.build(program, tmp_path), inputs, Record(spikes=True, final=True))
    assert compare(run_reference(program, inputs, record=Record(spikes=True, final=True)), result) == ()
    assert result.versions["lava-nc"] == golden.VERSION.removeprefix("lava-")


def test_what_lava_cannot_do_is_refused_before_it_runs() -> None:
    backend = LavaBackend()
    int8 = network([layer("n", [edge("input", [[5]], delay=0)], threshold=3)], target="int8")
    assert "int8 does not have the arithmetic that Lava simulates" in str(backend.check(int8)[0])
    loud = network(
        [layer("n", [edge("input", [[127, 127]])], threshold=3)],
        inputs=(Port(name="input", shape=(2,), high=2**17),),
    )
    assert str(backend.check(loud)[0]) == (
        "n: the largest synaptic sum (33292288) exceeds 16777215; "
        "Lava's 32-bit arithmetic would overflow; use smaller input values"
    )
    silent = network([layer("n", [edge("input", [[5]])], threshold=131070, fires=False)], readout="membrane", latency=1)
    assert str(backend.check(silent)[0]) == "n: a silent layer needs the largest threshold (131070); set it to 131071"
    fine = network([layer("n", [edge("input", [[5]])], threshold=3)])
    assert backend.check(fine) == ()


def test_the_exported_folder_is_whole_and_the_same_again(tmp_path: Path) -> None:
    program = network([layer("n", [edge("input", [[5, -3]])], threshold=3)])
    for name in "ab":
        LavaBackend().build(program, tmp_path / name)
    files = {path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert {str(path) for path in files} == {
        "README.md", "network.json", "network.npz", "run.py", "network.net", "program/arrays.npz",
        "program/program.json",
    }  # fmt: skip
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    readme = (tmp_path / "a" / "README.md").read_text()
    assert program.content_hash in readme
    assert "not a claim about a chip" in readme
    assert (tmp_path / "a" / "run.py").read_bytes() == worker_script().read_bytes()
