"""What the emitted text promises: stdint alone, no recursion, no warning, nothing kept that is not needed."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprivacy.program import ConvMap, Program
from neuroprivacy.testing import hand_made_cases, random_case
from neuroprivacy.testing.case import edge, layer, network
from neuroprivacy_c99 import C99Backend
from neuroprivacy_c99.names import identifiers
from neuroprivacy_c99.network import Emitted, emit
from neuroprivacy_c99.toolchain import STRICT, find_compiler

DEFINITION = re.compile(r"^(?:static )?\w+ (\w+)\([^;{]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def programs() -> list[Program]:
    """Hand-made cases and random Programs that C takes."""
    found = [case.program for case in hand_made_cases()]
    found += [random_case(s, target=("loihi2", "loihi2-soft", "int8")[s % 3], steps=2).program for s in range(6)]
    return [program for program in found if not C99Backend().check(program)]


EMITTED = [emit(program) for program in programs()]


def dense(weight: object, target: str = "loihi2", **constants: object) -> Emitted:
    """One dense layer."""
    delay = 0 if target == "int8" else 1
    return emit(network([layer("n", [edge("input", np.asarray(weight), delay=delay)], **constants)], target=target))  # type: ignore[arg-type]


def test_no_library_no_heap_no_floats() -> None:
    for emitted in EMITTED:
        includes = re.findall(r"#include (.*)", emitted.header + emitted.source)
        assert includes == ["<stdint.h>", '"network.h"']
        words = set(re.findall(r"\b[a-z_]\w*\b", emitted.source + emitted.header))
        assert not words & {
            "malloc",
            "calloc",
            "free",
            "memset",
            "memcpy",
            "float",
            "double",
            "goto",
            "setjmp",
            "printf",
        }


def test_functions_call_only_what_stands_before_them() -> None:
    """There are no forward declarations beside the interface, so nothing can call itself, directly or not."""
    for emitted in EMITTED:
        known: set[str] = set()
        functions = DEFINITION.findall(emitted.source)
        names = {name for name, _ in functions}
        assert {"network_reset", "network_step", "network_readout"} <= names
        for name, body in functions:
            assert set(re.findall(r"\b(\w+)\(", body)) & names <= known, name
            known.add(name)


def test_the_interface_is_three_functions() -> None:
    for emitted in EMITTED:
        assert re.findall(r"(\w+)\(", re.sub(r"/\*.*?\*/", "", emitted.header, flags=re.DOTALL)) == [
            "network_reset", "network_step", "network_readout",
        ]  # fmt: skip
        external = re.findall(r"^(?!static)\w+ (\w+)\(", emitted.source, re.MULTILINE)
        assert external == ["network_reset", "network_step", "network_readout"]


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_no_warning(compiler: str, tmp_path: Path) -> None:
    if find_compiler(compiler) is None:
        pytest.skip(f"not run: {compiler} is not here")
    far = ConvMap(
        weight=np.ones((1, 1, 1, 1), int), in_shape=(1, 3, 3), stride=(2**40, 2**33), dilation=(2**40, 2**33),
        pool=(2, 2), pool_stride=(2**40, 2**35),
    )  # fmt: skip
    everything = [*EMITTED, emit(network([layer("n", [edge("input", far, delay=0)], threshold=1)], target="int8"))]
    for i, emitted in enumerate(everything):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "network.h").write_text(emitted.header)
        (tmp_path / str(i) / "network.c").write_text(emitted.source)
    sources = [f"{i}/network.c" for i in range(len(everything))]
    done = subprocess.run(
        [compiler, *STRICT, "-fsyntax-only", *sources], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_kept_that_is_not_needed() -> None:
    plain = dense([[1, -1]], threshold=3, du=4095, dv=0)
    assert not re.search(r"\bu_n\b|decayed|threshold_n|bias_n|kept_", plain.source)
    leaky = dense([[1, -1]], threshold=3, du=100, dv=7, bias=[5])
    assert "static int32_t u_n[1];" in leaky.source
    assert "decayed(" in leaky.source
    assert not re.search(r"threshold_n|bias_n|kept_u_n|kept_v_n", leaky.source), "one value needs no array"
    assert leaky.flash == (("weights_n_0", 1),)


def test_constants_by_channel_and_by_neuron() -> None:
    linear = ConvMap(weight=np.ones((2, 1, 1, 1), int), in_shape=(1, 2, 2))

    def of(threshold: list[int]) -> Emitted:
        return emit(network([layer("n", [edge("input", linear, delay=0)], threshold=threshold)], target="int8"))

    assert "threshold_n[2]" in of([1, 1, 1, 1, 2, 2, 2, 2]).source
    assert "threshold_n[8]" in of([1, 2, 1, 1, 2, 2, 2, 2]).source


@pytest.mark.parametrize(("weight", "size"), [(1, 5), (3, 8), (7, 10), (15, 13), (100, 20), (-128, 20)])
def test_weights_take_their_width(weight: int, size: int) -> None:
    """Twenty weights at 2, 3, 4, 5 and 8 bits; a byte of padding where one may lie across two."""
    emitted = dense(np.full((4, 5), weight), threshold=1)
    assert emitted.flash[0] == ("weights_n_0", size + (weight in (3, 15)))


@pytest.mark.parametrize(("inputs", "kind"), [(258, "int16_t s[1]"), (259, "int32_t m[1]")])
def test_sums_take_the_type_that_their_bound_asks_for(inputs: int, kind: str) -> None:
    assert f"static union {{ {kind}; }} sums;" in dense(np.full((1, inputs), 127), threshold=1).source


@given(st.lists(st.text(max_size=50), unique=True, max_size=8))
@settings(max_examples=60)
def test_names_become_distinct_identifiers(names: list[str]) -> None:
    found = identifiers(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    assert all(re.fullmatch(r"[0-9A-Za-z_]+", name) for name in found.values())
    assert all(len(name) <= 43 for name in found.values())


def test_names_that_look_alike_and_words_of_c() -> None:
    found = identifiers(["a b", "a_b", "a-b", "A_B", "int", "", "*/ #define", "a_b_2"])
    assert list(found.values()) == ["a_b", "a_b_2", "a_b_3", "a_b_4", "int", "layer", "define", "a_b_2_2"]


def test_a_name_cannot_end_a_comment() -> None:
    emitted = emit(network([layer("*/ int x;", [edge("input", [[1]])], threshold=1)]))
    assert "*/ int x" not in emitted.header + emitted.source


def test_the_same_program_gives_the_same_text() -> None:
    first, second = (emit(random_case(5, steps=2).program) for _ in range(2))
    assert (first.header, first.source) == (second.header, second.source)
