"""The C backend: names, packed weights, what it refuses, and every integer on this host."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprivacy.core.errors import BackendUnavailable, WorkerFailed
from neuroprivacy.program import Port, Program
from neuroprivacy.runtime.backend import Record, build, run
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing import hand_made_cases, random_case
from neuroprivacy.testing.case import edge, layer, network
from neuroprivacy.testing.conformance import hold_case, hold_random
from neuroprivacy_c99 import C99Backend, toolchain
from neuroprivacy_c99.export import export
from neuroprivacy_c99.names import identifiers
from neuroprivacy_c99.network import emit
from neuroprivacy_c99.packing import bits_of, packed, stored_bits, unpacked, weight_constant
from neuroprivacy_c99.toolchain import find_compiler

needs_compiler = pytest.mark.skipif(find_compiler("cc", "gcc", "clang") is None, reason="not run: no C compiler")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROPRIVACY_C99_OPT", "-O0")


@pytest.mark.slow
@given(st.lists(st.text(max_size=12), unique=True, max_size=8))
def test_identifiers_are_of_c_and_differ(names: list[str]) -> None:
    found = identifiers(names)
    assert set(found) == set(names)
    assert len(set(found.values())) == len(names)
    assert all(re.fullmatch(r"[0-9a-z_]+", name) for name in found.values())


@settings(deadline=None)
@given(st.integers(2, 7).flatmap(lambda bits: st.tuples(
    st.just(bits), st.lists(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), min_size=1, max_size=50)
)))  # fmt: skip
def test_packed_weights_come_back(case: tuple[int, list[int]]) -> None:
    bits, values = case
    stored = packed(np.array(values), bits)
    assert unpacked(stored, bits, len(values)).tolist() == values
    assert stored.size == -(-len(values) * bits // 8) + (8 % bits != 0)


@pytest.mark.parametrize(
    ("values", "bits", "stored"),
    [([0], 2, 2), ([1, -1], 2, 2), ([-2], 2, 2), ([2], 3, 3), ([-128], 8, 8), ([128], 9, 16), ([70000], 18, 32)],
)
def test_widths(values: list[int], bits: int, stored: int) -> None:
    assert (bits_of(np.array(values)), stored_bits(np.array(values))) == (bits, stored)


def test_ternary_weights_take_two_bits() -> None:
    constant, expression = weight_constant("w", np.tile([1, 0, -1, 0], 25))
    assert (constant.type, constant.size_bytes) == ("uint8_t", 25)
    assert expression == "weight_2(w, {at})"


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("case", hand_made_cases()[::3], ids=lambda case: case.name)
def test_hand_made_cases(case, tmp_path: Path) -> None:
    outcome = hold_case(C99Backend(), case, tmp_path)
    assert (outcome.status, outcome.detail) == ("passed", "")


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("target", ["loihi2", "loihi2-soft", "int8"])
def test_random_programs(target: str, tmp_path: Path) -> None:
    for seed in range(6):
        drawn = random_case(seed, target=target, steps=20)
        outcome = hold_random(C99Backend(), drawn, tmp_path)
        assert (outcome.status, outcome.detail) == ("passed", ""), seed


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_narrow_weights_are_computed_as_they_are(bits: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(bits)
    weight = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (9, 11))
    program = network([layer("n", [edge("input", weight)], threshold=2 ** (bits - 1), dv=300)])
    spikes = (rng.random((3, 12, 11)) < 0.4).astype(np.int64)
    assert f"weight_{bits}(" in emit(program).source
    got = run(build(program, backend="c99", folder=tmp_path), spikes=spikes, record=Record(spikes=True))
    expected = run_reference(program, {"input": spikes}, record=Record(spikes=True))
    assert (got.layer_spikes["n"] == expected.layer_spikes["n"]).all()


@needs_compiler
def test_chunks_of_samples_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuroprivacy_c99 import backend

    monkeypatch.setattr(backend, "CHUNK_BYTES", 1)
    outcome = hold_random(C99Backend(), random_case(3, samples=4, steps=10), tmp_path)
    assert (outcome.status, outcome.detail) == ("passed", "")


def test_the_source_needs_nothing(tmp_path: Path) -> None:
    program = random_case(2, target="loihi2-soft").program
    export(program, tmp_path)
    source = (tmp_path / "network.c").read_text()
    assert re.findall(r"#include .*", source) == ['#include "network.h"']
    assert re.findall(r"#include .*", (tmp_path / "network.h").read_text()) == ["#include <stdint.h>"]
    assert not re.search(r"\b(malloc|free|float|double|printf|memcpy)\b", source)
    assert {p.name for p in tmp_path.iterdir()} == {
        "network.c", "network.h", "network_host.c", "network_test.c", "Makefile", "README.md", "program",
    }  # fmt: skip


def test_the_same_program_gives_the_same_files(tmp_path: Path) -> None:
    program = random_case(5, target="int8").program
    for name in ("a", "b"):
        export(program, tmp_path / name)
    for file in ("network.c", "network.h", "network_test.c", "README.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_names_of_strangers_cannot_leave_their_comment(tmp_path: Path) -> None:
    program = network([layer("*/ int x; /*", [edge("in\n#put", [[1, 2]])], threshold=3)],
                      inputs=(Port(name="in\n#put", shape=(2,)),))  # fmt: skip
    export(program, tmp_path)
    header = (tmp_path / "network.h").read_text()
    assert header.count("/*") == header.count("*/")
    assert "int x;" not in header
    assert "#put" not in header


@pytest.mark.slow
@needs_compiler
def test_the_folder_tests_itself(tmp_path: Path) -> None:
    case = random_case(8, target="loihi2", steps=8)
    export(case.program, tmp_path)
    if find_compiler("make --version", "make") is None:
        pytest.skip("not run: make is not here")
    compiler = toolchain.host_compiler().command[0]
    done = subprocess.run(["make", "-s", "-C", str(tmp_path), f"CC={compiler}", "test"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"0 values differ", done.stdout)


def wide(program: Program, high: int) -> Program:
    (port,) = program.inputs
    return replace(program, inputs=(replace(port, high=high),))


def test_products_beyond_32_bits_are_refused() -> None:
    program = network(
        [layer("n", [edge("input", [[127]])], threshold=100)],
        inputs=(Port(name="input", shape=(1,), high=2**24 - 1),),
    )
    assert C99Backend().check(program) == ()
    large = network([layer("n", [edge("input", np.full((1, 1), 127))], threshold=100)])
    monster = replace(large, inputs=(Port(name="input", shape=(1,), high=2**24 - 1),))
    assert C99Backend().check(monster) == ()


def test_a_missing_compiler_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = network([layer("n", [edge("input", [[1, 2]])], threshold=3)])
    artifact = build(program, backend="c99", folder=tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BackendUnavailable, match=r"tried CC=no-such-compiler\); install gcc or clang, or set CC"):
        run(artifact, spikes=np.ones((1, 2, 2), np.int64))


@needs_compiler
def test_what_a_compiler_says_is_handed_on(tmp_path: Path) -> None:
    program = network([layer("n", [edge("input", [[1, 2]])], threshold=3)])
    artifact = build(program, backend="c99", folder=tmp_path)
    (tmp_path / "network.c").write_text("this is no C\n")
    with pytest.raises(WorkerFailed, match=r"(?s)c99: \w+ failed: .*network\.c"):
        run(artifact, spikes=np.ones((1, 2, 2), np.int64))
