"""Counts against the unrolled matrices, event by event."""

import pickle

import numpy as np
import pytest

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import ConvMap, Port, Program
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.counts import EventTally, count
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing import random_case
from neuroprivacy.testing.case import edge, layer, network


def operations_one_by_one(program: Program, events: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Touched weights of every layer, from loops over outputs and kernel positions: no formula of ours."""
    found = {}
    for node in program.layers:
        total = np.zeros(len(next(iter(events.values()))), np.int64)
        for one in node.edges:
            touched = np.zeros(one.map.in_size, np.int64)
            if isinstance(one.map, ConvMap):
                count_conv(one.map, touched)
            else:
                touched += one.map.weight.shape[0]
            total += (events[one.source] * touched).sum(axis=1)
        found[node.name] = total
    return found


def count_conv(linear: ConvMap, touched: np.ndarray) -> None:
    channels, height, width = linear.in_shape
    _, rows, columns = linear.pooled_shape
    index = np.arange(linear.in_size).reshape(channels, height, width)
    outputs, per_group, kernel_rows, kernel_columns = linear.weight.shape
    for o in range(outputs):
        group = o // (outputs // linear.groups)
        for c in range(group * per_group, (group + 1) * per_group):
            for y in range(linear.out_shape[1]):
                for x in range(linear.out_shape[2]):
                    for i in range(kernel_rows):
                        for j in range(kernel_columns):
                            row = y * linear.stride[0] - linear.padding[0] + i * linear.dilation[0]
                            column = x * linear.stride[1] - linear.padding[1] + j * linear.dilation[1]
                            if 0 <= row < rows and 0 <= column < columns:
                                top, left = row * linear.pool_stride[0], column * linear.pool_stride[1]
                                window = index[c, top : top + linear.pool[0], left : left + linear.pool[1]]
                                touched[window.reshape(-1)] += 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_counts_of_random_programs(seed: int) -> None:
    case = random_case(seed, target=("loihi2", "int8")[seed % 2], steps=10, max_neurons=12)
    result = run_reference(case.program, case.spikes, record=Record(spikes=True, states=True))
    assert result.layer_spikes is not None
    assert result.states_u is not None
    steps = 10 + case.program.latency
    events = {name: (array != 0).sum(axis=1) for name, array in {**case.spikes, **result.layer_spikes}.items()}
    expected = operations_one_by_one(case.program, events)
    assert result.counts.steps == steps
    assert result.counts.inputs["input"].tolist() == events["input"].sum(axis=1).tolist()
    for node in case.program.layers:
        counts = result.counts.layers[node.name]
        assert counts.operations.tolist() == expected[node.name].tolist()
        assert counts.spikes.tolist() == result.layer_spikes[node.name].sum(axis=(1, 2)).tolist()
        assert counts.updates.tolist() == [node.size * steps] * 2
        assert counts.observed is not None
        assert counts.observed.max_current.tolist() == np.abs(result.states_u[node.name]).max(axis=(1, 2)).tolist()


def test_overlapping_windows_count_an_event_more_than_once() -> None:
    linear = ConvMap(weight=np.ones((2, 1, 1, 2), int), in_shape=(1, 1, 4), pool=(1, 2), pool_stride=(1, 1))
    program = network(
        [layer("n", [edge("input", linear)], threshold=100)], inputs=(Port(name="input", shape=(1, 1, 4)),)
    )
    for place, touched in enumerate([2, 6, 6, 2]):
        spikes = np.zeros((1, 1, 4), np.int64)
        spikes[0, 0, place] = 1
        assert run_reference(program, {"input": spikes}).counts.layers["n"].operations.tolist() == [touched]


def test_wraps_saturations_and_extremes() -> None:
    program = network(
        [layer("n", [edge("input", [[127], [-64]])], threshold=131071)],
        inputs=(Port(name="input", shape=(1,), high=2000),),
    )
    result = run_reference(program, {"input": np.array([[[2000], [1000], [2000]], [[0], [0], [1]]])})
    seen = result.counts.layers["n"].observed
    assert seen is not None
    assert seen.max_activation.tolist() == [254000, 127]
    # 2000·127·64 = 16256000 wraps to -521216, 1000·127·64 does not; the other neuron saturates
    assert seen.wraps.tolist() == [2, 0]
    assert seen.max_current.tolist() == [8192000, 8128]
    assert seen.saturations.tolist() == [2, 0]
    assert seen.max_membrane.tolist() == [2**23 - 1, 8128]


def test_totals_are_plain_numbers() -> None:
    case = random_case(3, steps=5, max_neurons=8)
    totals = run_reference(case.program, case.spikes).counts.totals()
    assert totals.keys() == {node.name for node in case.program.layers}
    for row in totals.values():
        assert all(type(value) is int for value in row.values())
    counts = run_reference(case.program, case.spikes).counts.layers["layer0"]
    assert totals["layer0"]["spikes"] == int(counts.spikes.sum())
    assert totals["layer0"]["max_membrane"] == int(counts.observed.max_membrane.max()) if counts.observed else True


def test_a_spike_in_flight_is_paid_for() -> None:
    """The last spike of `a` has not reached `b` when the run ends; its weights were touched."""
    program = network(
        [
            layer("a", [edge("input", [[9]])], threshold=5),
            layer("b", [edge("a", [[1], [1]], delay=9)], threshold=5),
        ],
        latency=1,
    )
    result = run_reference(program, {"input": np.ones((1, 2, 1), np.int64)})
    assert result.counts.layers["b"].operations.tolist() == [4]


def test_counts_that_are_made_late_are_the_same_and_travel() -> None:
    case = random_case(3, target="loihi2", steps=10, max_neurons=12)
    run = run_reference(case.program, case.spikes, record=Record(spikes=True))
    assert run.layer_spikes is not None
    events = {name: (array != 0).sum(axis=1) for name, array in {**case.spikes, **run.layer_spikes}.items()}
    asked: list[str] = []

    class Asked(EventTally):
        def events(self, name: str) -> Int64:
            asked.append(name)
            return super().events(name)

    late = count(case.program, Asked(case.program, events), steps=run.counts.steps, late=True)
    assert "nowhere" not in late.layers
    assert set(late.inputs) == {port.name for port in case.program.inputs}
    assert asked == []
    now = count(case.program, EventTally(case.program, events), steps=run.counts.steps)
    assert late.totals() == now.totals()
    assert sorted(set(asked)) == sorted(asked)  # each was made once
    assert repr(late.inputs) == repr(dict(now.inputs))
    there = pickle.loads(pickle.dumps(late))
    assert there.totals() == now.totals()
    assert there.inputs["input"].tolist() == now.inputs["input"].tolist()
    with pytest.raises(KeyError, match="nowhere"):
        late.layers["nowhere"]
