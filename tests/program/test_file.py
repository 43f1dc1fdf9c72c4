"""Programs on disk: the same bytes for the same Program, and no damage goes unnoticed."""

import contextlib
import json
import os
import resource
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from neuroprivacy.core.errors import BadFile
from neuroprivacy.core.storage import file_digest, read_arrays, write_arrays
from neuroprivacy.program import Program, load_program, save_program
from neuroprivacy.program.description import content_hash
from neuroprivacy.testing import RandomCase, hand_made_cases, random_case
from neuroprivacy.testing.case import edge, layer, network
from neuroprivacy.testing.strategies import programs


@pytest.fixture(scope="module")
def program() -> Program:
    """Small, with every kind of part."""
    return random_case(1007, target="loihi2-soft", max_neurons=4, max_layers=2).program


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("case", hand_made_cases(), ids=lambda case: case.name)
def test_loading_what_was_saved_and_saving_it_again(case: Any, tmp_path: Path) -> None:
    save_program(case.program, tmp_path / "a")
    again = load_program(tmp_path / "a")
    save_program(again, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert again.content_hash == case.program.content_hash


@pytest.mark.slow
@given(case=programs(max_layers=3, max_neurons=10, max_steps=2))
@settings(max_examples=15)
def test_any_random_program_survives(case: RandomCase, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("program")
    save_program(case.program, folder)
    again = load_program(folder)
    assert again.content_hash == case.program.content_hash
    for old, new in zip(case.program.layers, again.layers, strict=True):
        assert (old.name, old.shape, old.reset, old.fires, old.scale) == (
            new.name, new.shape, new.reset, new.fires, new.scale,
        )  # fmt: skip
        for name in ("threshold", "du", "dv", "bias_mantissa", "v_init"):
            assert np.array_equal(getattr(old, name), getattr(new, name))
            assert getattr(new, name).dtype == np.int64
        for one, other in zip(old.edges, new.edges, strict=True):
            assert (one.source, one.delay, type(one.map)) == (other.source, other.delay, type(other.map))
            assert np.array_equal(one.map.weight, other.map.weight)


@pytest.mark.slow
def test_provenance_and_encoder_are_kept_and_hashed(program: Program, tmp_path: Path) -> None:
    told = replace(program, encoder={"name": "poisson", "seed": 3}, provenance={"commands": ["lower"]}, max_steps=99)
    again = load_program(save_program(told, tmp_path))
    assert (dict(again.encoder), dict(again.provenance), again.max_steps) == (
        {"name": "poisson", "seed": 3},
        {"commands": ["lower"]},
        99,
    )
    assert again.content_hash == told.content_hash != program.content_hash


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, latency=p.latency + 1),
        lambda p: replace(p, max_steps=5),
        lambda p: replace(p, inputs=(replace(p.inputs[0], scale=2.0),)),
        lambda p: replace(p, layers=(replace(p.layers[0], v_init=p.layers[0].v_init + 1), *p.layers[1:])),
        lambda p: replace(p, layers=(replace(p.layers[0], threshold=p.layers[0].threshold + 1), *p.layers[1:])),
        lambda p: replace(p, layers=(replace(p.layers[0], scale=(0.5,)), *p.layers[1:])),
        lambda p: replace(p, target=replace(p.target, title="another")),
        lambda p: replace(p, provenance={"a": 1}),
    ],
)
def test_the_hash_covers_everything(change: Callable[[Program], Program], program: Program) -> None:
    assert content_hash(change(program)) != program.content_hash


def bytes_to_damage(path: Path) -> list[int]:
    """Every byte of the archive's structure, and of each entry's packed numbers the ends and each seventh."""
    left_out = set()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            begin = entry.header_offset + len(entry.FileHeader())
            inner = range(begin + 1, begin + entry.compress_size - 1)
            left_out |= {position for position in inner if (position - begin) % 7}
    return [position for position in range(path.stat().st_size) if position not in left_out]


@pytest.mark.slow
def test_one_damaged_byte_of_the_arrays_is_always_a_bad_file(program: Program, tmp_path: Path) -> None:
    path = save_program(program, tmp_path) / "arrays.npz"
    saved = path.read_bytes()
    for position in bytes_to_damage(path):
        damaged = bytearray(saved)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(BadFile):
            load_program(tmp_path)


@pytest.mark.slow
def test_one_damaged_byte_of_the_description_is_never_another_program(program: Program, tmp_path: Path) -> None:
    """Another letter case of an exponent or escape is the same value; all else is a bad file."""
    path = save_program(program, tmp_path) / "program.json"
    saved = path.read_bytes()
    harmless = []
    for position in range(0, len(saved), 4):
        damaged = bytearray(saved)
        damaged[position] ^= (0x01, 0x20, 0x80)[position // 4 % 3]
        path.write_bytes(damaged)
        try:
            found = load_program(tmp_path)
        except BadFile:
            continue
        harmless.append(saved[position : position + 1])
        assert json.loads(damaged) == json.loads(saved)
        assert found.content_hash == program.content_hash
    assert set(harmless) <= {b"e", b"a", b"b", b"c", b"d", b"f"}


@pytest.mark.parametrize("name", ["program.json", "arrays.npz"])
def test_a_missing_file(name: str, program: Program, tmp_path: Path) -> None:
    (save_program(program, tmp_path) / name).unlink()
    with pytest.raises(BadFile, match=f"{name}: cannot be read"):
        load_program(tmp_path)


def test_files_of_two_programs_mixed_up(program: Program, tmp_path: Path) -> None:
    save_program(program, tmp_path / "a")
    other = replace(
        program, layers=(replace(program.layers[0], v_init=program.layers[0].v_init + 1), *program.layers[1:])
    )
    save_program(other, tmp_path / "b")
    (tmp_path / "a" / "arrays.npz").write_bytes((tmp_path / "b" / "arrays.npz").read_bytes())
    with pytest.raises(
        BadFile, match=r"not the file that program\.json was saved with; the files were changed or mixed"
    ):
        load_program(tmp_path / "a")


def tampered(program: Program, folder: Path, change: Callable[[dict[str, Any]], Any], **arrays: np.ndarray) -> Path:
    """A folder in which an attacker changed description or arrays and kept the file's own digest right."""
    save_program(program, folder)
    if arrays:
        kept = {**read_arrays(folder / "arrays.npz"), **{k.replace("__", "."): v for k, v in arrays.items()}}
        write_arrays(folder / "arrays.npz", kept)
    described = json.loads((folder / "program.json").read_text())
    described["arrays_sha256"] = file_digest(folder / "arrays.npz")
    change(described)
    (folder / "program.json").write_text(json.dumps(described))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format=2), "has format 2, this version reads 1"),
        (lambda d: d.pop("format"), "has format None"),
        (lambda d: d.update(content_hash="0"), "does not match its content hash"),
        (lambda d: d.pop("layers"), r"is not a program \(KeyError: 'layers'\)"),
        (lambda d: d.update(layers=None), "is not a program"),
        (lambda d: d.update(inputs=[{"name": "input"}]), "is not a program"),
        (lambda d: d.update(latency=1.5), r"not a legal program \(program: latency is no integer \(1.5\)\)"),
        (lambda d: d.update(latency=True), "latency is no integer"),
        (lambda d: d.update(readout="loudest"), r"readout is none of spike_count, membrane \('loudest'\)"),
        (lambda d: d["inputs"][0].update(shape=[-1, -6]), "is not made of positive integers"),
        (lambda d: d["inputs"][0].update(high=10**30), "an input value"),
        (lambda d: d["inputs"][0].update(extra=1), "is not a program"),
        (lambda d: d["layers"][0].update(fires="no"), "fires is none of True, False"),
        (lambda d: d["layers"][0].update(bias_exponent=0.5), "bias exponent is no integer"),
        (lambda d: d["layers"][0].update(name=3), "a name is no text"),
        (lambda d: d["layers"][0]["edges"][0].update(delay="1"), "delay is no integer"),
        (lambda d: d["layers"][0]["edges"][0]["map"].update(kind="magic"), "map kind 'magic' is unknown"),
        (lambda d: d["layers"][0].update(edges=[]), "nothing feeds this layer"),
        (
            lambda d: d["target"].update(weight_bits="8"),
            r"program\.json: target: is not a target description",
        ),
        (lambda d: d.update(target=3), "is not a program"),
    ],
)
def test_malformed_descriptions(
    change: Callable[[dict[str, Any]], Any], reason: str, program: Program, tmp_path: Path
) -> None:
    with pytest.raises(BadFile, match=reason):
        load_program(tampered(program, tmp_path, change))


@pytest.mark.slow
def test_whatever_the_description_says_takes_no_memory(program: Program, tmp_path: Path) -> None:
    """Every number replaced by a huge one, every list by a huge shape, with the arrays' digest right."""
    good = json.loads((save_program(program, tmp_path) / "program.json").read_text())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in places({key: good[key] for key in ("inputs", "layers", "latency", "max_steps", "outputs")}):
        for wrong in (2**40, 10**30, [10**9, 10**9], [2**31] * 3, float("nan"), {}, [[]], None):
            changed = json.loads(json.dumps(good))
            place = changed
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = wrong
            (tmp_path / "program.json").write_text(json.dumps(changed))
            with contextlib.suppress(BadFile):  # nothing else may come out of it
                load_program(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    if path:
        yield path
    for key, part in parts:
        yield from places(part, (*path, key))


def test_pipes_are_not_waited_for(program: Program, tmp_path: Path) -> None:
    for name in ("arrays.npz", "program.json"):
        (save_program(program, tmp_path / name) / name).unlink()
        os.mkfifo(tmp_path / name / name)
        with pytest.raises(BadFile, match=rf"{name}: cannot be read \(it is no regular file\)"):
            load_program(tmp_path / name)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"layer0__threshold": np.array([0.5])}, "an array holds float64 where integers are expected"),
        ({"layer0__threshold": np.array([[1]])}, "threshold is neither one value nor one per neuron"),
        ({"layer0__edge0__weight": np.zeros((1, 1), int)}, "cannot join"),
        ({"layer0__v_init": np.array(["x"])}, "an array holds <U1"),
    ],
)
def test_malformed_arrays(arrays: dict[str, np.ndarray], reason: str, tmp_path: Path) -> None:
    program = network([layer("n", [edge("input", [[1, 2], [3, 4]])], threshold=1)])
    with pytest.raises(BadFile, match=reason):
        load_program(tampered(program, tmp_path, lambda d: None, **arrays))
