"""The registry of backends, and what a run accepts as input."""

from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroprivacy.core.errors import BackendNotFound, ConfigurationError, DoesNotFit, Issue
from neuroprivacy.program import Port, Program
from neuroprivacy.runtime import backend as module
from neuroprivacy.runtime.backend import Backend, Record, backend_names, build, check_inputs, load_backend, run
from neuroprivacy.runtime.reference import ReferenceBackend
from neuroprivacy.testing.case import edge, layer, network


class Picky(ReferenceBackend):
    """Refuses everything, with two reasons and a remark."""

    def check(self, program: Program) -> tuple[Issue, ...]:
        return (
            Issue(where="n", what="fan-in", value=2, limit=1),
            Issue(where="n", what="neurons", value=2, limit=1),
            Issue(where="n", what="a remark", fatal=False),
        )


class Half:
    """Has `check` alone."""

    def check(self, program: Program) -> tuple[Issue, ...]:
        return ()


@dataclass
class Distribution:
    name: str


def install(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str, str]) -> None:
    """Pretend that (name, value, distribution) are what is installed."""
    made = []
    for name, value, dist in points:
        point = EntryPoint(name=name, value=value, group=module.GROUP)
        vars(point)["dist"] = Distribution(dist)
        made.append(point)
    monkeypatch.setattr(
        module, "entry_points", lambda group, name=None: [p for p in made if name is None or p.name == name]
    )


@pytest.fixture
def program() -> Program:
    return network([layer("n", [edge("input", [[5, 5]])], threshold=3)])


def test_our_backends_are_found_like_anybodys() -> None:
    assert set(backend_names()) >= {"c99", "fixedpoint", "lava", "reference"}
    for name in ("c99", "fixedpoint", "lava", "reference"):
        assert isinstance(load_backend(name), Backend)


def test_an_unknown_backend_lists_the_installed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("b", "x:Y", "one"), ("a", "x:Z", "two"))
    with pytest.raises(BackendNotFound, match=r"^backend: none is called 'c'; installed are a, b$"):
        load_backend("c")
    install(monkeypatch)
    with pytest.raises(BackendNotFound, match=r"installed are none$"):
        load_backend("c")


def test_two_of_one_name_are_an_error_not_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("mine", "neuroprivacy.runtime.reference:ReferenceBackend", "zeta"), ("mine", "x:Y", "alpha"))
    with pytest.raises(BackendNotFound, match=r"^backend: 'mine' is offered by alpha, zeta; uninstall all but one$"):
        load_backend("mine")


def test_the_same_entry_seen_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ("mine", "neuroprivacy.runtime.reference:ReferenceBackend", "one")
    install(monkeypatch, entry, entry)
    assert isinstance(load_backend("mine"), ReferenceBackend)


def test_a_backend_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("mine", "no_such_module:Backend", "one"))
    with pytest.raises(BackendNotFound, match=r"'mine' \(no_such_module:Backend\) cannot be imported: No module named"):
        load_backend("mine")


def test_a_backend_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("mine", f"{__name__}:Half", "one"))
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("types").SimpleNamespace(Half=Half))
    with pytest.raises(BackendNotFound, match=r"lacks check, build or run$"):
        load_backend("mine")


def test_a_refused_program_is_not_built(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_backend", lambda name: Picky())
    with pytest.raises(DoesNotFit) as caught:
        build(program, backend="picky", folder=tmp_path)
    assert str(caught.value) == "n: fan-in (2) exceeds 1\nn: neurons (2) exceeds 1"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["reference", "fixedpoint"])
def test_build_and_run(name: str, program: Program, tmp_path: Path) -> None:
    artifact = build(program, backend=name, folder=tmp_path)
    result = run(artifact, spikes=np.array([[[1, 0], [0, 0], [1, 1]]]))
    assert (result.backend, artifact.backend, artifact.folder) == (name, name, tmp_path)
    assert result.spikes["n"].tolist() == [[[1], [0], [1]]]
    assert result.spikes["n"].dtype == np.uint8
    assert (result.readout.tolist(), result.prediction.tolist()) == ([[2]], [0])
    assert (result.layer_spikes, result.final_u, result.final_v, result.states_u, result.states_v) == (None,) * 5
    assert (tmp_path / "program.json").exists()
    kept = run(
        artifact,
        spikes={"input": np.zeros((2, 3, 2), int)},
        record=Record(spikes=True, final=True, states=True),
    )
    assert kept.layer_spikes is not None
    assert kept.layer_spikes["n"].shape == (2, 4, 1)
    assert kept.states_v is not None
    assert kept.states_v["n"].shape == (2, 4, 1)
    assert kept.final_v is not None
    assert kept.final_v["n"].shape == (2, 1)


def test_ties_go_to_the_lowest_index(tmp_path: Path) -> None:
    program = network([layer("n", [edge("input", [[1], [5], [5]])], threshold=3)])
    result = run(build(program, backend="reference", folder=tmp_path), spikes=np.ones((1, 2, 1), int))
    assert (result.readout.tolist(), result.prediction.tolist()) == ([[0, 2, 2]], [1])
    assert result.prediction.dtype == np.int64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((1, 2, 2)), "input: values are float64; integers are needed, encode them first"),
        (np.array([[["a", "b"]]]), "input: values are <U1; integers are needed"),
        (np.array([[[None, None]]]), "input: values are object; integers are needed"),
        (np.zeros((2, 2), int), r"input: shape \(2, 2\) is not \(samples, steps, 2\)"),
        (np.zeros((1, 2, 3), int), r"input: shape \(1, 2, 3\) is not \(samples, steps, 2\)"),
        (np.array([[[0, 2]]]), r"input: values 0 ... 2 leave 0 ... 1"),
        (np.array([[[0, -1]]]), r"input: values -1 ... 0 leave 0 ... 1"),
        (np.array([[[0, 2**64 - 1]]], np.uint64), r"leave 0 ... 1"),
        (np.zeros((0, 2, 2), int), "input: 0 samples of 2 steps; at least one of each is needed"),
        (np.zeros((1, 0, 2), int), "input: 1 samples of 0 steps; at least one of each is needed"),
        ({"x": np.zeros((1, 1, 2), int)}, "input: ports x were given, the program has input"),
        ({}, "the program has input"),
        ([[[0, 1]]], "input: a list was given; give an array, or one for each port by its name"),
        (np.ma.masked_array([[[0, 9]]], mask=[[[0, 1]]]), "input: values 0 ... 9 leave 0 ... 1"),
    ],
)
def test_input_that_does_not_fit(given: Any, message: str, program: Program) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_inputs(program, given)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int16, np.uint64])
def test_any_integers_will_do(kind: type, program: Program) -> None:
    found = check_inputs(program, np.array([[[1, 0]]], kind))
    assert found["input"].dtype == np.int64
    assert found["input"].tolist() == [[[1, 0]]]


def test_images_may_come_flat_or_in_shape() -> None:
    program = network(
        [layer("n", [edge("input", np.ones((1, 6), int))], threshold=3)],
        inputs=(Port(name="input", shape=(1, 2, 3)),),
    )
    image = np.arange(6).reshape(1, 1, 1, 2, 3) % 2
    assert np.array_equal(check_inputs(program, image)["input"], check_inputs(program, image.reshape(1, 1, 6))["input"])


def test_several_ports() -> None:
    program = network(
        [layer("n", [edge("a", [[5]]), edge("b", [[2]])], threshold=3)],
        inputs=(Port(name="a", shape=(1,)), Port(name="b", shape=(1,))),
    )
    with pytest.raises(ConfigurationError, match=r"^input: the program has 2 ports; give one array for each$"):
        check_inputs(program, np.zeros((1, 1, 1), int))
    with pytest.raises(ConfigurationError, match=r"ports differ in samples or steps: \[\(1, 2\), \(1, 3\)\]"):
        check_inputs(program, {"a": np.zeros((1, 2, 1), int), "b": np.zeros((1, 3, 1), int)})


def test_more_steps_than_were_proved(program: Program) -> None:
    bounded = replace(program, max_steps=3)
    assert check_inputs(bounded, np.zeros((1, 3, 2), int))["input"].shape == (1, 3, 2)
    with pytest.raises(
        ConfigurationError, match="4 steps exceed 3, for which this program's ranges were proved; lower"
    ):
        check_inputs(bounded, np.zeros((1, 4, 2), int))
