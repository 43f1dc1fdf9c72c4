"""The fast simulator beyond the kit: chunks of samples, limits, wide sums."""

import gc
import math
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError, DoesNotFit
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import ConvMap, DenseMap, Port, Program
from neuroprivacy.runtime.backend import Record, build
from neuroprivacy.runtime.compare import compare
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import load_target
from neuroprivacy.testing import random_case
from neuroprivacy.testing.case import edge, layer, network
from neuroprivacy_fixedpoint import FixedPointBackend, engine, plan
from neuroprivacy_fixedpoint.columns import LARGEST
from neuroprivacy_fixedpoint.plan import plan_of
from neuroprivacy_fixedpoint.weights import padded_size

EVERYTHING = Record(spikes=True, final=True, states=True)


def held(program: Program, inputs: dict[str, Int64], folder: Path, record: Record = EVERYTHING) -> list[str]:
    engine = FixedPointBackend()
    got = engine.run(engine.build(program, folder), inputs, record)
    return [str(difference) for difference in compare(run_reference(program, inputs, record=record), got)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("seed", [2, 7, 1007])
def test_shares_of_samples_give_the_same(
    seed: int, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(seed, target="loihi2-soft", samples=5, steps=12, max_neurons=16)
    monkeypatch.setenv("NEUROPRIVACY_THREADS", str(number))
    monkeypatch.setattr(engine, "_WORK_FOR_THREADS", 0)
    monkeypatch.setattr(engine, "BATCH_BYTES", 1)
    assert held(case.program, case.spikes, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("target", ["loihi2", "loihi2-soft", "int8"])
def test_parts_of_layers_give_the_same(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two samples on three threads, each of which computes some rows of every layer."""
    monkeypatch.setenv("NEUROPRIVACY_THREADS", "3")
    monkeypatch.setattr(engine, "_WORK_FOR_THREADS", 0)
    monkeypatch.setattr(engine, "_WORK_FOR_PARTITIONS", 0)
    for seed in range(12):
        case = random_case(seed, target=target, steps=12)
        for record in (Record(spikes=True, final=True), EVERYTHING):
            assert held(case.program, case.spikes, tmp_path, record) == [], seed


@pytest.mark.slow
@pytest.mark.parametrize("target", ["loihi2", "loihi2-soft", "int8"])
def test_blocks_of_steps_give_the_same(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long input streams through buffers that hold a few steps; delays reach back into the block before."""
    monkeypatch.setattr(engine, "TIME_BLOCK_BYTES", 1)
    for seed in range(12):
        case = random_case(seed, target=target, steps=15)
        assert held(case.program, case.spikes, tmp_path, Record(spikes=True, final=True)) == [], seed


@pytest.mark.slow
def test_long_runs_use_wide_integers_where_membranes_could_leave_32_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Integrate and fire on int8: what bounds the membrane is the number of steps."""
    program = network([layer("n", [edge("input", [[127]], delay=0)], threshold=2**30)], target="int8")
    assert plan_of(program, 4096).wide == frozenset()
    assert plan_of(program, 4097).wide == {"n"}
    monkeypatch.setattr(plan, "SHORT", 2)
    case = random_case(5, target="int8", steps=9)
    assert held(case.program, case.spikes, tmp_path) == []


@pytest.mark.slow
def test_constant_graded_input_is_summed_once_and_changes_are_seen(tmp_path: Path) -> None:
    """An image at every step, as direct coding sends it, and one that changes."""
    rng = np.random.default_rng(0)
    linear = ConvMap(weight=rng.integers(-128, 128, (4, 3, 3, 3)), in_shape=(3, 6, 6), padding=(1, 1))
    program = network(
        [layer("n", [edge("input", linear)], threshold=4000, dv=200)],
        inputs=(Port(name="input", shape=(3, 6, 6), high=255),),
    )
    image = rng.integers(0, 256, (2, 1, 108)).repeat(10, axis=1)
    image[1, 4:] = rng.integers(0, 256, 108)
    image[1, 7, 3] = 0
    assert held(program, {"input": image}, tmp_path) == []


def test_an_engine_that_ran_runs_again_with_other_sizes(tmp_path: Path) -> None:
    """Buffers of an earlier run are taken up: nothing of it may remain."""
    case = random_case(4, target="loihi2", steps=10, samples=3)
    for samples, steps in ((3, 10), (1, 10), (3, 10), (2, 4), (1, 10)):
        part = {name: spikes[-samples:, :steps] for name, spikes in case.spikes.items()}
        assert held(case.program, part, tmp_path, Record(spikes=True, final=True)) == []


def test_threads_are_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("NEUROPRIVACY_THREADS", raising=False)
    assert engine.threads() == 5
    monkeypatch.setenv("NEUROPRIVACY_THREADS", "7")
    assert engine.threads() == 7
    monkeypatch.setenv("NEUROPRIVACY_THREADS", "many")
    assert engine.threads() == 5
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert engine.threads() >= 1


@pytest.mark.parametrize("record", [Record(), Record(spikes=True), Record(final=True), Record(states=True)], ids=repr)
def test_each_kind_of_record_by_itself(record: Record, tmp_path: Path) -> None:
    case = random_case(11, target="int8", steps=8)
    engine = FixedPointBackend()
    got = engine.run(engine.build(case.program, tmp_path), case.spikes, record)
    expected = run_reference(case.program, case.spikes, record=record)
    assert compare(expected, got) == ()
    for attribute in ("layer_spikes", "final_u", "final_v", "states_u", "states_v"):
        assert (getattr(got, attribute) is None) == (getattr(expected, attribute) is None)


def test_sums_beyond_32_bits(tmp_path: Path) -> None:
    """600 inputs of 2**24 - 1 at weight 127 make 1.3e12."""
    high = 2**24 - 1
    program = network(
        [layer("n", [edge("input", np.full((2, 600), 127))], threshold=100)],
        inputs=(Port(name="input", shape=(600,), high=high),),
    )
    assert held(program, {"input": np.full((1, 2, 600), high)}, tmp_path) == []


def test_pooled_sums_beyond_32_bits_are_refused() -> None:
    linear = ConvMap(weight=np.ones((1, 1, 1, 1), int), in_shape=(1, 16, 16), pool=(16, 16), pool_stride=(16, 16))
    program = network(
        [layer("n", [edge("input", linear)], threshold=100)],
        inputs=(Port(name="input", shape=(1, 16, 16), high=2**24 - 1),),
    )
    (issue,) = FixedPointBackend().check(program)
    assert str(issue) == (
        "n from input: an input value, summed over its pooling window (4294967040) exceeds 2147483647; scale the input"
    )


def wide(folder: Path, weight: list[list[int]], bits: int, **options: int) -> Program:
    """One layer on a target like int8, with wider weights."""
    text = (resources.files("neuroprivacy") / "targets/int8.toml").read_text()
    folder.joinpath("wide.toml").write_text(
        text.replace("weight_bits = { value = 8", f"weight_bits = {{ value = {bits}")
    )
    return Program(
        target=load_target(folder / "wide.toml"),
        inputs=(Port(name="input", shape=(len(weight[0]),)),),
        layers=(layer("n", [edge("input", weight, delay=0)], **{"threshold": 100000, **options}),),
        outputs=("n",),
        readout="spike_count",
        latency=0,
    )


def test_weights_beyond_32_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFit, match=r"^n from input: weight \(34359738368\) exceeds 2147483647$"):
        build(wide(tmp_path, [[2**35]], 40), backend="fixedpoint", folder=tmp_path)


def test_weights_beyond_16_bits(tmp_path: Path) -> None:
    program = wide(tmp_path, [[70000, -3]], 24)
    assert held(program, {"input": np.array([[[1, 1], [1, 0], [0, 1]]])}, tmp_path) == []


@pytest.mark.parametrize("dv", [0, 1, 410, 2048, 4095])
def test_wide_layers_whose_membranes_are_small(dv: int, tmp_path: Path) -> None:
    """They take all integers in 64 bits, whatever their membranes would fit."""
    program = wide(tmp_path, [[300, -300], [150, 7]], 12, threshold=900, dv=dv)
    assert plan_of(program, 40).wide == {"n"}
    assert not plan_of(program, 40).layers["small"][0]
    given = np.random.default_rng(dv).integers(0, 2, (3, 40, 2))
    assert held(program, {"input": given}, tmp_path, EVERYTHING) == []


def test_small_layers_that_a_loop_makes_wide(tmp_path: Path) -> None:
    """One needs 64 bits for its threshold; the other, in a loop with it, takes them too."""
    back = edge("b", [[3, -2]], delay=1)
    layers = [
        layer("a", [edge("input", [[90]], delay=0), back], threshold=150, dv=2048),
        layer("b", [edge("a", [[100], [-7]], delay=1)], threshold=2**31 - 1, dv=1024),
    ]
    program = network(layers, target="int8")
    assert plan_of(program, 30).wide == {"a", "b"}
    assert not plan_of(program, 30).layers["small"].any()
    given = np.random.default_rng(0).integers(0, 2, (2, 30, 1))
    assert held(program, {"input": given}, tmp_path, EVERYTHING) == []


def test_the_versions_of_what_ran(tmp_path: Path) -> None:
    case = random_case(1, steps=2)
    engine = FixedPointBackend()
    result = engine.run(engine.build(case.program, tmp_path), case.spikes, Record())
    assert result.versions.keys() == {"numba", "numpy"}


def test_a_target_for_checking_alone_is_not_built_for(tmp_path: Path) -> None:
    runs = network([layer("n", [edge("input", [[1]], delay=0)], threshold=3)], target="int8")
    program = replace(runs, target=replace(load_target("int8"), name="mine", check_only=True))
    with pytest.raises(ConfigurationError, match="mine is there for target check only"):
        build(program, backend="fixedpoint", folder=tmp_path)


def test_rows_are_counted_as_long_as_they_are_laid_out() -> None:
    assert padded_size(DenseMap(weight=np.ones((1, 5), int))) == 6 * 64
    assert padded_size(DenseMap(weight=np.ones((33, 2), int))) == 3 * 64
    narrow = DenseMap(weight=np.ones((1, 2**21), int))
    program = network([layer("n", [edge("input", narrow)], threshold=9)], inputs=(Port(name="input", shape=(2**21,)),))
    assert FixedPointBackend().check(program) == ()
    assert LARGEST < 2**26 * 32  # of so many sources, places no longer fit


def test_counts_keep_neither_states_nor_weights(tmp_path: Path) -> None:
    case = random_case(4, target="loihi2", steps=9)
    backend = FixedPointBackend()
    counts = backend.run(backend.build(case.program, tmp_path), case.spikes, EVERYTHING).counts
    assert counts.totals() == run_reference(case.program, case.spikes).counts.totals()
    held_by = {type(each).__name__ for each in reachable(counts)}
    assert "Seen" in held_by  # the walk goes far enough
    assert not {"Results", "Plan", "Batch", "Program", "Layer"} & held_by


def reachable(start: object) -> Iterator[object]:
    """All objects that one keeps alive, through closures but not through types and modules."""
    seen, waiting = set(), [start]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type | ModuleType):
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, FunctionType):
            waiting += [cell.cell_contents for cell in each.__closure__ or ()]
        else:
            waiting += gc.get_referents(each)


@pytest.mark.slow
@pytest.mark.parametrize("parts", ["1", "3"])
def test_sums_that_16_bits_hold_only_in_rounds(parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of the largest weights meet in one neuron: matrices, convolutions of all options, several edges."""
    monkeypatch.setenv("NEUROPRIVACY_THREADS", parts)
    monkeypatch.setattr(engine, "_WORK_FOR_THREADS", 0)
    monkeypatch.setattr(engine, "_WORK_FOR_PARTITIONS", 0)
    generator = np.random.default_rng(0)

    def large(*shape: int) -> Int64:
        """Weights of which most are near one end of 8 bits."""
        return np.where(generator.random(shape) < 0.8, 127, -123) - generator.integers(0, 20, shape).clip(0, 5)

    square = (16, 6, 6)
    maps = [
        ConvMap(weight=large(9, 16, 5, 5), in_shape=square, padding=(2, 2)),
        ConvMap(weight=large(6, 16, 5, 5), in_shape=square, padding=(3, 2), stride=(2, 1)),
        ConvMap(weight=large(6, 16, 4, 3), in_shape=square, padding=(2, 4), dilation=(1, 2), pool=(2, 2)),
        ConvMap(weight=large(8, 8, 6, 6), in_shape=square, padding=(1, 1), groups=2),
        ConvMap(weight=large(2, 12, 4, 4), in_shape=(12, 7, 7), padding=(1, 1), pool=(3, 3), pool_stride=(1, 1)),
        ConvMap(weight=large(3, 1, 1, 400), in_shape=(1, 1, 500)),  # one neuron sees more positions than may fire
        *(
            ConvMap(weight=np.full((2, channels, 1, columns), 127), in_shape=(channels, 1, columns + 50))
            for channels, columns in ((3, 150), (1, 400), (5, 100), (40, 20), (9, 50), (13, 51))
        ),
        DenseMap(weight=large(5, 2000)),
    ]
    for linear in maps:
        made = [edge("input", linear, delay=1)]
        size = math.prod(linear.out_shape) if isinstance(linear, ConvMap) else len(linear.weight)
        again = layer("b", [*made, edge("a", large(size, size)), edge("b", large(size, size))], threshold=50_000)
        for layers in ([layer("a", made, threshold=50_000, dv=1000)], [layer("a", made, threshold=50_000), again]):
            program = network(layers, target="int8")
            for rate in (0.5, 1.0):
                given = (generator.random((2, 4, linear.in_size)) < rate).astype(np.int64)
                assert held(program, {"input": given}, tmp_path, Record(spikes=True, final=True)) == []


def test_small_membranes_are_computed_as_all_others(tmp_path: Path) -> None:
    """Decays in units of 1, 2 ... 2048, negative membranes, both resets; small ones and others."""
    generator = np.random.default_rng(1)
    seen = set()
    for dv in (1, 2, 410, 411, 1024, 2048, 4095):
        for scale in (1, 2**20):
            made = layer(
                "n", [edge("input", generator.integers(-128, 128, (9, 20)), delay=0)], threshold=100, dv=dv,
                bias=generator.integers(-9, 9, 9) * scale, reset="soft" if dv % 2 else "hard",
            )  # fmt: skip
            program = network([made], target="int8")
            seen.add(int(plan_of(program, 30).layers["small"][0]))
            given = generator.integers(0, 2, (3, 30, 20))
            assert held(program, {"input": given}, tmp_path, EVERYTHING) == []
    assert seen == {0, 1}


def test_membranes_that_can_be_clipped_are_not_small(tmp_path: Path) -> None:
    for weight in (127, -127):
        made = layer("n", [edge("input", np.full((1, 1000), weight))], threshold=131071, dv=2048)
        assert held(network([made]), {"input": np.ones((1, 8, 1000), np.int64)}, tmp_path) == []


@pytest.mark.parametrize("v_init", [524_416, -524_416, 524_417, -524_417])
def test_the_largest_membrane_of_which_one_product_fits_32_bits(v_init: int, tmp_path: Path) -> None:
    """4095 times 524,416 is the last below 2^31."""
    made = layer("n", [edge("input", [[1]])], threshold=2**30, dv=1, v_init=v_init)
    program = network([made], target="int8")
    assert plan_of(program, 9).layers["small"][0] == (abs(v_init) == 524_416)
    assert held(program, {"input": np.zeros((1, 9, 1), np.int64)}, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("high", [1, 3])
def test_events_of_long_runs_are_all_counted(high: int, tmp_path: Path) -> None:
    """More steps than a byte counts, and more values than are counted at once."""
    port = Port(name="input", shape=(20_000,), high=high)
    program = network([layer("n", [edge("input", np.ones((1, 20_000), int))], threshold=2000)], inputs=(port,))
    given = np.zeros((1, 700, 20_000), np.int64)
    given[:, :, :50] = high
    given[:, ::3, -9:] = 1
    assert held(program, {"input": given}, tmp_path, Record()) == []


@pytest.mark.parametrize(("size", "channels", "kernel", "pooled"), [(12, 4, 4, 6), (24, 9, 5, 8)])
def test_weights_that_add_up_where_a_convolution_becomes_a_matrix(
    size: int, channels: int, kernel: int, pooled: int, tmp_path: Path
) -> None:
    """Two readings of one input, of which one needs a matrix; behind overlapping windows its weights leave 8 bits."""
    generator = np.random.default_rng(0)
    first = ConvMap(weight=generator.integers(-5, 5, (2, 1, 3, 3)), in_shape=(1, size, size), padding=(1, 1))
    second = ConvMap(
        weight=np.full((3, channels, kernel, kernel), 100), in_shape=(channels, pooled, pooled), padding=(1, 1),
        pool=(2, 2), pool_stride=(1, 1),
    )  # fmt: skip
    layers = [layer("a", [edge("input", first)], threshold=9), layer("b", [edge("input", second)], threshold=20_000)]
    program = network(layers, target="int8", outputs=["a", "b"])
    given = generator.integers(0, 2, (2, 4, size * size))
    assert held(program, {"input": given}, tmp_path) == []
