"""Where C ends: widths, delays and sums that it takes and that it refuses, readouts, and compilers that fail."""

import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.core.errors import DoesNotFit, WorkerFailed
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Port, Program
from neuroprivacy.runtime.backend import Record, build, run
from neuroprivacy.runtime.compare import compare
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import TargetSpec, load_target
from neuroprivacy.testing import random_case
from neuroprivacy.testing.case import edge, layer, network
from neuroprivacy_c99 import C99Backend, host, toolchain

EVERYTHING = Record(spikes=True, final=True, states=True)
compiled = pytest.mark.skipif(
    toolchain.find_compiler("cc", "gcc", "clang") is None, reason="not run: no C compiler is here"
)


@pytest.fixture(autouse=True)
def _compile_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROPRIVACY_C99_OPT", "-O0")


def held(program: Program, inputs: dict[str, Int64], folder: Path, record: Record = EVERYTHING) -> list[str]:
    engine = C99Backend()
    got = engine.run(engine.build(program, folder), inputs, record)
    return [str(difference) for difference in compare(run_reference(program, inputs, record=record), got)]


def target(folder: Path, name: str = "int8", **values: object) -> TargetSpec:
    """A shipped target with other numbers."""
    text = (resources.files("neuroprivacy") / f"targets/{name}.toml").read_text()
    lines = []
    for line in text.splitlines():
        field = line.split(" = ")[0]
        if field in values:
            old = line.split("value = ")[1].split(",")[0]
            line = line.replace(f"value = {old},", f"value = {values[field]},", 1)
        lines.append(line)
    path = folder / "mine.toml"
    path.write_text("\n".join(lines))
    return load_target(path)


def one_layer(spec: TargetSpec, weight: list[list[int]], *, delay: int = 0, high: int = 1, low: int = 0) -> Program:
    return Program(
        target=spec,
        inputs=(Port(name="input", shape=(len(weight[0]),), low=low, high=high),),
        layers=(layer("n", [edge("input", weight, delay=delay)], threshold=2**14, reset="soft", dv=3),),
        outputs=("n",),
        readout="spike_count",
        latency=delay,
    )


@pytest.mark.slow
@compiled
@pytest.mark.parametrize("record", [Record(), Record(spikes=True), Record(final=True), Record(states=True)], ids=repr)
def test_each_kind_of_record_by_itself(record: Record, tmp_path: Path) -> None:
    case = random_case(11, target="int8", steps=8)
    engine = C99Backend()
    got = engine.run(engine.build(case.program, tmp_path), case.spikes, record)
    expected = run_reference(case.program, case.spikes, record=record)
    assert compare(expected, got) == ()
    for attribute in ("layer_spikes", "final_u", "final_v", "states_u", "states_v"):
        assert (getattr(got, attribute) is None) == (getattr(expected, attribute) is None)
    assert got.versions.keys() == {"cc"}


@compiled
def test_membranes_of_16_bits_saturate_there(tmp_path: Path) -> None:
    program = one_layer(target(tmp_path, membrane_bits=16), [[127], [-128]])
    assert held(program, {"input": np.ones((1, 400, 1), np.int64)}, tmp_path) == []
    assert "static int16_t v_n[2];" in (tmp_path / "network.c").read_text()


@compiled
def test_sums_and_currents_beyond_32_bits(tmp_path: Path) -> None:
    high = 2**24 - 1
    dense = network(
        [layer("n", [edge("input", np.full((2, 600), 127))], threshold=100, du=70, dv=3)],
        inputs=(Port(name="input", shape=(600,), high=high),),
    )
    assert held(dense, {"input": np.full((1, 3, 600), high)}, tmp_path) == []
    wide = target(tmp_path, "loihi2-soft", current_bits=48, weight_bits=32)
    assert held(one_layer(wide, [[2**30]], delay=1), {"input": np.ones((1, 9, 1), np.int64)}, tmp_path) == []


@compiled
def test_the_longest_delay(tmp_path: Path) -> None:
    program = one_layer(target(tmp_path, edge_delay_max=1000), [[100]], delay=255)
    spikes = np.random.default_rng(0).integers(0, 2, (1, 300, 1))
    assert held(program, {"input": spikes}, tmp_path) == []


@compiled
def test_signed_values_of_every_type_of_c(tmp_path: Path) -> None:
    for bits in (8, 16, 24):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        spec = target(tmp_path, message_bits=bits, message_signed="true")
        program = one_layer(spec, [[3, -128], [-2, 127]], low=low, high=high)
        drawn = np.random.default_rng(bits).integers(low, high + 1, (2, 6, 2))
        drawn[0, 0] = low, high
        assert held(program, {"input": drawn}, tmp_path / str(bits)) == []


@compiled
def test_several_ports_and_outputs_with_latencies_of_their_own(tmp_path: Path) -> None:
    program = network(
        [
            layer("a", [edge("x", [[50, 20]]), edge("y", [[-3]], delay=2)], threshold=40),
            layer("b", [edge("a", [[90], [30]])], threshold=50),
        ],
        inputs=(Port(name="x", shape=(2,)), Port(name="y", shape=(1,), high=200)),
        outputs=("a", "b"),
        latency=2,
        latencies=(1, 2),
    )
    rng = np.random.default_rng(3)
    inputs = {"x": rng.integers(0, 2, (3, 20, 2)), "y": rng.integers(0, 201, (3, 20, 1))}
    assert held(program, inputs, tmp_path) == []
    header = (tmp_path / "network.h").read_text()
    assert "#define NETWORK_LATENCY 2u" in header
    assert "#define NETWORK_READOUT_LATENCY 1u" in header


@compiled
def test_a_readout_that_says_something_else_is_a_fault(tmp_path: Path) -> None:
    program = one_layer(load_target("int8"), [[2**6]])
    engine = C99Backend()
    artifact = engine.build(program, tmp_path)
    source = tmp_path / "network.c"
    source.write_text(source.read_text().replace("readout[n] = counted[n]", "readout[n] = counted[n] + 1"))
    with pytest.raises(WorkerFailed, match="network_readout does not give"):
        engine.run(artifact, {"input": np.ones((1, 2, 1), np.int64)}, Record())


@compiled
@pytest.mark.skipif(shutil.which("make") is None, reason="not run: make is not here")
def test_the_folder_tests_itself(tmp_path: Path) -> None:
    case = random_case(2, target="int8", steps=8)
    build(case.program, backend="c99", folder=tmp_path)
    words = ["make", "-s", "-C", str(tmp_path), "CFLAGS=-O1"]
    done = subprocess.run([*words, "test"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 samples of 8 steps: 0 values differ\n"
    text = (tmp_path / "network_test.c").read_text()
    at = text.index("expected[")
    (tmp_path / "network_test.c").write_text(text[:at] + text[at:].replace("0, 0", "1, 0", 1))
    done = subprocess.run([*words, "test"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == "2 samples of 8 steps: 1 values differ\n"


@compiled
def test_a_library_is_compiled_once_and_again_for_another_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(1, target="int8", steps=3)
    engine = C99Backend()
    artifact = engine.build(case.program, tmp_path)
    engine.run(artifact, case.spikes, Record())
    monkeypatch.setattr(host, "shared_library", None)
    engine.run(engine.build(case.program, tmp_path), case.spikes, Record())
    other = engine.build(random_case(4, target="int8", steps=3).program, tmp_path)
    with pytest.raises(TypeError):
        engine.run(other, random_case(4, target="int8", steps=3).spikes, Record())


def refusals(program: Program) -> list[str]:
    return [str(issue) for issue in C99Backend().check(program)]


def test_what_32_bits_cannot_hold_is_refused(tmp_path: Path) -> None:
    spec = target(tmp_path, membrane_bits=48)
    assert refusals(one_layer(spec, [[1]])) == ["int8: bits of a membrane (48) exceeds 32"]
    spec = target(tmp_path, weight_bits=40)
    assert refusals(one_layer(spec, [[2**35]])) == [
        "n from input: weight (34359738368) exceeds 2147483647; choose narrower weights"
    ]
    spec = target(tmp_path, message_bits=24)
    assert refusals(one_layer(spec, [[-128]], high=2**24 - 1)) == []
    spec = target(tmp_path, message_bits=26)
    assert refusals(one_layer(spec, [[-128]], high=2**25)) == [
        "n from input: weight times value (4294967296) exceeds 2147483647; scale the input"
    ]


def test_delays_beyond_a_ring_are_refused(tmp_path: Path) -> None:
    program = one_layer(target(tmp_path, edge_delay_max=1000), [[1]], delay=256)
    assert refusals(program) == ["n from input: delay (256) exceeds 255"]
    with pytest.raises(DoesNotFit, match=r"delay \(256\) exceeds 255"):
        build(program, backend="c99", folder=tmp_path)


def test_sums_beyond_62_bits_are_refused(tmp_path: Path) -> None:
    spec = target(tmp_path, weight_bits=32, activation_shift=16)
    program = one_layer(spec, [[2**31 - 1] * 2**16])
    assert refusals(program) == [f"n: a synaptic sum ({(2**31 - 1) << 32}) exceeds {2**62 - 1}"]


def test_what_a_compiler_says_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "cc"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo fake 1.0; exit 0; }\necho it is tired >&2\nexit 1\n')
    fake.chmod(0o755)
    case = random_case(1, target="int8", steps=2)
    artifact = build(case.program, backend="c99", folder=tmp_path / "out")
    monkeypatch.setenv("CC", str(fake))
    with pytest.raises(WorkerFailed, match="it is tired"):
        run(artifact, spikes=case.spikes)
    assert list((tmp_path / "out" / "host").iterdir()) == []


def test_a_compiler_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "cc"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setattr(toolchain, "_TIMEOUT_S", 0.2)
    with pytest.raises(WorkerFailed, match=r"did not end within 0.2 s"):
        toolchain.compile_c(toolchain.Compiler(command=(str(fake),), version="fake"), [])
