"""Layers that are computed in tiles: matrices over many steps, convolutions, neurons of every kind, full lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import ConvMap, Layer, Port, Program
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.compare import compare
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing.case import edge, layer, network
from neuroprivacy_fixedpoint import FixedPointBackend, engine, plan, weights
from neuroprivacy_fixedpoint.columns import EVENTS, STEPS, TILE
from neuroprivacy_fixedpoint.kernels import advance, compiled, events
from neuroprivacy_fixedpoint.plan import plan_of

RECORDS = Record(spikes=True, final=True)


def differences(program: Program, inputs: dict[str, Int64], folder: Path, record: Record = RECORDS) -> list[str]:
    backend = FixedPointBackend()
    got = backend.run(backend.build(program, folder), inputs, record)
    return [str(each) for each in compare(run_reference(program, inputs, record=record), got)]


def varied(generator: np.random.Generator, size: int, *, each: bool = True, **options: Any) -> dict[str, Any]:
    """Constants of a layer: `each` neuron may have its own, or all have one."""
    many = size if each and generator.random() < 0.5 else 1
    return {
        "threshold": generator.integers(20, 400, many), "dv": generator.integers(0, 4096, many),
        "bias": generator.integers(-40, 40, size if many > 1 else 1), "v_init": generator.integers(-50, 50, size),
        "reset": "soft" if generator.random() < 0.5 else "hard", **options,
    }  # fmt: skip


def matrix(generator: np.random.Generator, targets: int, sources: int) -> Int64:
    return generator.integers(-64, 64, (targets, sources)) * 2


#: Layers as (KEEPS, SMALL, LEAKS), and what makes them so.
INT8 = {
    (0, 1, 1): {"dv": 410},
    (0, 0, 1): {"dv": 300, "threshold": 2**22, "bias": 2**20},
    (0, 0, 0): {"dv": 0, "threshold": 10_000},
}
LOIHI = {
    (0, 0, 1): {"dv": 300},
    (0, 0, 0): {"dv": 0, "threshold": 100_000, "bias": -4000},
    (1, 0, 1): {"du": 900, "dv": 2000},
    (1, 0, 0): {"du": 17, "dv": 0, "threshold": 3},
}


@pytest.mark.slow
@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("target", ["int8", "loihi2", "loihi2-soft"])
@pytest.mark.parametrize("size", [1, TILE - 1, TILE, TILE + 1, 3 * TILE + 17])
def test_tiles_of_all_kinds_of_neurons(target: str, size: int, tmp_path: Path) -> None:
    """Leaking or not, with a current or without, clipped or small; before one with two edges, one of them late."""
    generator = np.random.default_rng(size)
    own, delay = target == "int8", int(target != "int8")
    common: dict[str, Any] = {} if own else {"reset": "soft" if target == "loihi2-soft" else "hard"}
    for kind, options in (INT8 if own else LOIHI).items():
        made = varied(generator, size, each=own, **common)
        first = layer("a", [edge("input", matrix(generator, size, 70), delay=delay)], **{**made, **options})
        again = [edge("a", matrix(generator, 30, size), delay=delay), edge("input", matrix(generator, 30, 70), delay=3)]
        program = network([first, layer("b", again, **varied(generator, 30, each=own, **common))], target=target)
        rows = plan_of(program, 20).layers
        assert rows["tiled"].all()
        assert tuple(rows[name][0] for name in ("has_current", "small", "leaky")) == kind
        for rate in (0.05, 0.3, 1.0):
            given = (generator.random((3, 20, 70)) < rate).astype(np.int64)
            assert differences(program, {"input": given}, tmp_path) == [], (kind, rate)
            assert differences(program, {"input": given}, tmp_path, Record(states=True, final=True)) == [], (kind, rate)


@pytest.mark.slow
@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("steps", [1, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS + 5])
@pytest.mark.parametrize("parts", ["1", "3"])
def test_more_steps_than_are_listed_at_once(
    steps: int, parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROPRIVACY_THREADS", parts)
    monkeypatch.setattr(engine, "_WORK_FOR_THREADS", 0)
    monkeypatch.setattr(engine, "_WORK_FOR_PARTITIONS", 0)
    generator = np.random.default_rng(steps)
    program = network(
        [
            layer("a", [edge("input", matrix(generator, 200, 90), delay=0)], **varied(generator, 200)),
            layer("b", [edge("a", matrix(generator, 70, 200), delay=0)], **varied(generator, 70)),
        ],
        target="int8",
    )
    given = (generator.random((2, steps, 90)) < 0.2).astype(np.int64)
    assert differences(program, {"input": given}, tmp_path) == []


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("listed", [0, 700, 5000])
def test_lists_that_hold_few_steps(listed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step at the least, of two edges whose sources all fire; or some, as many as are sure to fit."""
    monkeypatch.setattr(plan, "_LISTED", listed)
    generator = np.random.default_rng(listed)
    ports = (Port(name="x", shape=(300,)), Port(name="y", shape=(129,)))
    both = [edge("x", matrix(generator, 100, 300), delay=0), edge("y", matrix(generator, 100, 129), delay=2)]
    program = network([layer("a", both, **varied(generator, 100))], target="int8", inputs=ports)
    for rate in (0.1, 1.0):
        given = {port.name: (generator.random((2, 30, port.size)) < rate).astype(np.int64) for port in ports}
        assert differences(program, given, tmp_path) == []


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("sources", [256, 258, 259, 1031])
def test_sums_of_tiles_that_16_bits_hold_only_in_rounds(sources: int, tmp_path: Path) -> None:
    """127 times 258 is the last sum that fits; rounds are of whole EVENTS."""
    for weight in (127, -128):
        made = [layer("a", [edge("input", np.full((2, sources), weight), delay=0)], threshold=10**6, dv=100)]
        program = network(made, target="int8")
        given = np.ones((1, 3, sources), np.int64)
        given[:, 1, ::2] = 0
        assert differences(program, {"input": given}, tmp_path) == []
    assert EVENTS < 255  # of each round at least one


@pytest.mark.usefixtures("guarded")
def test_recurrent_tiles(tmp_path: Path) -> None:
    """Layers of a loop are computed step after step, each from its own earlier steps."""
    generator = np.random.default_rng(7)
    own = [
        edge("input", matrix(generator, 100, 40)),
        edge("a", matrix(generator, 100, 100)),
        edge("b", matrix(generator, 100, 70), delay=2),
    ]
    other = [edge("a", matrix(generator, 70, 100))]
    layers: list[Layer] = [
        layer("a", own, **varied(generator, 100, each=False, reset="hard")),
        layer("b", other, **varied(generator, 70, each=False, reset="hard")),
    ]
    given = (generator.random((2, 25, 40)) < 0.3).astype(np.int64)
    assert differences(network(layers), {"input": given}, tmp_path) == []


#: Options of convolutions: channels out, shape in, kernel, and others.
CONVOLUTIONS: dict[str, tuple[int, tuple[int, int, int], tuple[int, int], dict[str, Any]]] = {
    "plain": (64, (16, 9, 7), (3, 3), {"padding": (1, 1)}),
    "three tiles of 32": (96, (5, 6, 6), (3, 3), {"padding": (1, 1)}),
    "five tiles of 16": (80, (64, 4, 5), (2, 3), {}),
    "no tile": (72, (8, 4, 4), (3, 3), {"padding": (1, 1)}),
    "few channels": (16, (3, 8, 8), (5, 5), {"padding": (2, 2)}),
    "one position": (128, (24, 4, 4), (4, 4), {}),
    "strides": (32, (12, 9, 9), (3, 2), {"stride": (2, 3), "padding": (2, 1)}),
    "dilations": (32, (9, 9, 9), (3, 3), {"dilation": (2, 1), "padding": (2, 1)}),
    "dilated columns": (16, (70, 7, 9), (2, 3), {"dilation": (1, 3), "padding": (0, 4), "stride": (1, 2)}),
    "pools": (64, (16, 8, 8), (3, 3), {"padding": (1, 1), "pool": (2, 2), "pool_stride": (2, 2)}),
    "pools that overlap": (16, (8, 7, 9), (3, 3), {"padding": (1, 1), "pool": (3, 2), "pool_stride": (1, 2)}),
    "pools of few channels": (32, (3, 8, 8), (3, 3), {"padding": (1, 1), "pool": (2, 2), "pool_stride": (1, 1)}),
    "groups": (32, (8, 5, 5), (3, 3), {"padding": (1, 1), "groups": 2}),
    "wide padding": (16, (8, 3, 3), (3, 3), {"padding": (5, 4)}),
    "in a row": (64, (16, 1, 40), (1, 9), {"padding": (0, 4)}),
}


@pytest.mark.slow
@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("meeting", [0, weights._COINCIDENT, 10**6])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=list(CONVOLUTIONS))
def test_convolutions_in_tiles_and_scattered(
    options: Any, meeting: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Always, by how many events there are, and never; on one thread and on three; of which sums fit 16 bits or not."""
    monkeypatch.setattr(weights, "_COINCIDENT", meeting)
    monkeypatch.setattr(engine, "_WORK_FOR_THREADS", 0)
    monkeypatch.setattr(engine, "_WORK_FOR_PARTITIONS", 0)
    channels, shape, kernel, others = options
    generator = np.random.default_rng(channels)
    used = set()
    for low, high in ((-20, 20), (100, 128)):
        weight = generator.integers(low, high, (channels, shape[0] // others.get("groups", 1), *kernel))
        linear = ConvMap(weight=weight, in_shape=shape, **others)
        size = int(np.prod(linear.out_shape))
        constants = varied(generator, size, threshold=high * 9)
        program = network([layer("a", [edge("input", linear, delay=0)], **constants)], target="int8")
        row = plan_of(program, 9).edges[0]
        assert (row["tile"] > 0) == (channels % 16 == 0 and "groups" not in others)
        for rate in (0.0, 0.02, 0.3, 1.0):
            given = (generator.random((2, 5, linear.in_size)) < rate).astype(np.int64)
            used |= {bool(row["tile"]) and fires >= row["density_threshold"] for fires in given.sum(axis=2).ravel()}
            for threads in ("1", "3"):
                monkeypatch.setenv("NEUROPRIVACY_THREADS", threads)
                assert differences(program, {"input": given}, tmp_path) == [], (low, rate, threads)
    if row["tile"]:
        assert used == ({True} if meeting == 0 else {False} if meeting > 5 else {True, False})


@pytest.mark.slow
@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("listed", [0, 3000])
def test_convolutions_whose_lists_hold_few_positions(
    listed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And several edges, of which one is a matrix, one is late, and one has values."""
    monkeypatch.setattr(plan, "_LISTED", listed)
    monkeypatch.setattr(weights, "_COINCIDENT", 0)
    generator = np.random.default_rng(listed)
    ports = (Port(name="x", shape=(40, 6, 6)), Port(name="y", shape=(9, 6, 6), high=200))

    def conv(channels: int) -> ConvMap:
        """To 32 channels."""
        weight = generator.integers(-128, 128, (32, channels, 3, 3))
        return ConvMap(weight=weight, in_shape=(channels, 6, 6), padding=(1, 1))

    first = [edge("x", conv(40), delay=0), edge("x", conv(40), delay=2), edge("y", conv(9), delay=0)]
    dense = edge("a", matrix(generator, 32 * 36, 32 * 36), delay=0)
    layers = [
        layer("a", first, **varied(generator, 32 * 36, threshold=9000)),
        layer("b", [edge("a", conv(32), delay=0), dense], **varied(generator, 32 * 36, threshold=9000)),
        layer("c", [edge("b", conv(32), delay=0)], **varied(generator, 32 * 36, threshold=500)),
    ]
    program = network(layers, target="int8", inputs=ports)
    for rate in (0.3, 1.0):
        given = {port.name: (generator.random((2, 6, port.size)) < rate) * np.int64(port.high) for port in ports}
        assert differences(program, given, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("put", [events._put_one_by_one, events._put_places], ids=["one by one", "of this machine"])
def test_lists_of_ones(put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way the machine can, all counts of bits of 64, and sizes that end within 64."""
    monkeypatch.setattr(events, "_put_places", put)
    list_ones = njit(events.list_ones.py_func)
    generator = np.random.default_rng(0)
    for bits in [*range(20), 40, 63, 64]:
        for size in (1, 8, 63, 64, 65, 200):
            row = (generator.random(400) < bits / 64).astype(np.uint8)
            index = np.full(600, -1, np.int32)
            found = list_ones(row, 8, size, 5, 3, index, 2)
            expected = 3 * (5 + np.flatnonzero(row[8 : 8 + size]))
            assert found == 2 + len(expected)
            assert np.array_equal(index[2:found], expected)
            assert (index[:2] == -1).all()
            assert (index[found + 64 :] == -1).all()


def test_what_was_compiled_is_compiled_again_after_any_of_its_files_changed() -> None:
    """Numba compares what stands in the closure."""
    digest = compiled.sources()
    assert len(digest) == 64
    assert digest in [cell.cell_contents for cell in advance.py_func.__closure__]
