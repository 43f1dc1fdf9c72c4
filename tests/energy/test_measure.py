"""Energy against numbers computed by hand, by brute force, and properties that hold for any network."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.energy import COST_MODELS, EnergyReport, ann_macs, measure_energy
from neuroprivacy.program import DenseMap, Edge, Layer, Port, Program, unroll
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.counts import Counts, EventTally, count
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import load_target
from neuroprivacy.testing.random_programs import random_case


def dense(*, target: str = "int8", high: int = 1, dv: int = 0, du: int = 4095, fires: bool = True) -> Program:
    zeros, one = np.zeros(2, np.int64), np.ones(1, np.int64)
    spec = load_target(target)
    delay = spec.edge_delay_min
    edge = Edge(source="input", map=DenseMap(weight=np.ones((2, 3), np.int64)), delay=delay)
    layer = Layer(
        name="fc", shape=(2,), edges=(edge,),
        threshold=one, du=one * du, dv=one * dv, bias_mantissa=zeros, bias_exponent=0, v_init=zeros,
        reset="hard", fires=fires,
    )  # fmt: skip
    return Program(
        target=spec, inputs=(Port(name="input", shape=(3,), high=high),), layers=(layer,), outputs=("fc",),
        readout="spike_count" if fires else "membrane", latency=delay,
    )  # fmt: skip


def counted(program: Program, *, inputs: list[list[int]], spikes: list[list[int]], steps: int = 10) -> Counts:
    events = {"input": np.array(inputs, np.int64), "fc": np.array(spikes, np.int64)}
    return count(program, EventTally(program, events), steps=steps)


def by_hand() -> EnergyReport:
    program = dense()
    # Two samples: 6 and 2 input spikes, 2 weights each; 5 and 1 spikes of 2 neurons; 10 steps.
    counts = counted(program, inputs=[[3, 2, 1], [2, 0, 0]], spikes=[[4, 1], [1, 0]])
    return measure_energy(program, counts=counts, samples=2)


def test_work_by_hand() -> None:
    work = by_hand().total
    assert (work.macs, work.operations, work.spikes, work.updates) == (6, 8.0, 3.0, 20.0)
    assert (work.update_additions, work.update_multiplications) == (20.0, 0.0)
    assert work.spikes_per_neuron == 1.5
    assert work.rate == pytest.approx(0.15)
    assert work.spikes_per_synapse == pytest.approx(8 / 6)


def test_energy_by_hand() -> None:
    fp32 = by_hand().models[0].to_dict()
    assert fp32["ann_j"] == pytest.approx(6 * 4.6e-12)
    assert fp32["snn_j"] == pytest.approx(8 * 0.9e-12)
    assert fp32["ratio"] == pytest.approx(27.6 / 7.2)
    assert fp32["snn_with_updates_j"] == pytest.approx((8 + 20) * 0.9e-12)
    assert fp32["ratio_with_updates"] == pytest.approx(27.6 / 25.2)
    assert fp32["rate_model_ratio"] == pytest.approx(4.6 / 0.9 / 1.5)
    assert fp32["break_even_spikes_per_synapse"] == pytest.approx(4.6 / 0.9)
    assert fp32["break_even_with_updates"] == pytest.approx((27.6 - 18) / (6 * 0.9))


def test_constants_are_the_published_ones() -> None:
    published = {"FP32": (4.6, 0.9), "INT32": (3.2, 0.1), "INT8": (0.23, 0.03)}
    assert {m.name for m in COST_MODELS} == published.keys()
    for model in COST_MODELS:
        assert (model.mac_j * 1e12, model.ac_j * 1e12) == pytest.approx(published[model.name])


def test_the_papers_ratio_follows_from_int32_and_not_from_fp32() -> None:
    ratios = {m.model.name: m.model.mac_j / m.model.ac_j / 0.573 for m in by_hand().models}
    assert ratios["INT32"] == pytest.approx(55.8, abs=0.1)
    assert ratios["FP32"] == pytest.approx(8.9, abs=0.05)


def test_graded_input_is_charged_as_macs() -> None:
    spiking, graded = dense(), dense(high=255)
    inputs, spikes = [[3, 2, 1]], [[4, 1]]
    cheap = measure_energy(spiking, counts=counted(spiking, inputs=inputs, spikes=spikes), samples=1)
    dear = measure_energy(graded, counts=counted(graded, inputs=inputs, spikes=spikes), samples=1)
    assert (cheap.total.graded_operations, dear.total.graded_operations) == (0, 12)
    assert dear.models[1].snn_j == pytest.approx(12 * 3.2e-12)
    assert any("graded" in note for note in dear.notes)
    assert not any("graded" in note for note in cheap.notes)


@pytest.mark.parametrize(
    ("target", "du", "dv", "additions", "multiplications"),
    [
        ("int8", 0, 0, 1, 0),
        ("int8", 0, 7, 1, 1),
        ("loihi2", 4095, 7, 1, 1),
        ("loihi2", 9, 0, 2, 1),
        ("loihi2", 9, 7, 2, 2),
    ],
)
def test_neuron_updates(target: str, du: int, dv: int, additions: int, multiplications: int) -> None:
    program = dense(target=target, du=du, dv=dv)
    report = measure_energy(program, counts=counted(program, inputs=[[1, 0, 0]], spikes=[[0, 0]]), samples=1)
    work = report.total
    assert (work.update_additions, work.update_multiplications) == (20 * additions, 20 * multiplications)
    expected = 20 * (additions * 0.1 + multiplications * 3.1) * 1e-12
    assert report.models[1].updates_j == pytest.approx(expected)


def test_the_chip_row_has_no_ann_and_no_ratio() -> None:
    program = dense(target="loihi2")
    report = measure_energy(program, counts=counted(program, inputs=[[3, 2, 1]], spikes=[[4, 1]]), samples=1)
    assert report.chip is not None
    chip = report.chip.to_dict()
    assert chip["total_j"] == pytest.approx(12 * 23.6e-12 + 20 * 81e-12 + 5 * 1.7e-12)
    assert not {"ann_j", "ratio"} & chip.keys()
    assert "Loihi 1" in chip["leaves_out"]
    assert "Davies" in chip["sources"][0]
    assert by_hand().chip is None


def test_a_silent_network_and_a_readout_give_no_infinities() -> None:
    program = dense(fires=False)
    report = measure_energy(program, counts=counted(program, inputs=[[0, 0, 0]], spikes=[[0, 0]]), samples=1)
    assert report.models[0].ratio is None
    assert report.models[0].rate_model_ratio is None
    assert report.total.firing == 0
    assert report.total.spikes_per_neuron == 0
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_operations_are_the_weights_touched_in_the_written_out_matrix(seed: int) -> None:
    case = random_case(seed, steps=8, max_neurons=16)
    result = run_reference(case.program, case.spikes, record=Record(spikes=True))
    report = measure_energy(case.program, counts=result.counts, samples=2)
    events = {**case.spikes, **(result.layer_spikes or {})}
    for layer, row in zip(case.program.layers, report.layers, strict=True):
        touched = 0
        for edge in layer.edges:
            weights = np.ones_like(edge.map.weight)
            columns = unroll(replace(edge.map, weight=weights)).columns
            reach = np.bincount(columns, minlength=edge.map.in_size)
            touched += int(((events[edge.source] != 0) * reach).sum())
        assert row.work.operations == touched / 2
    assert report.total.operations == pytest.approx(sum(row.work.operations for row in report.layers))
    assert math.isclose(report.total.updates, report.total.neurons * result.counts.steps)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_all_ones_cost_the_macs_at_every_step(seed: int) -> None:
    program = random_case(seed, steps=4, max_neurons=16).program
    first = program.layers[0]
    edges = tuple(e for e in first.edges if e.source == "input" and getattr(e.map, "pool", (1, 1)) == (1, 1))
    if not edges:
        return
    steps = 7
    program = replace(program, layers=(replace(first, edges=edges),), outputs=(first.name,))
    spikes = {"input": np.ones((3, steps, program.inputs[0].size), np.int64)}
    counts = run_reference(program, spikes).counts
    report = measure_energy(program, counts=counts, samples=3)
    assert report.total.operations == ann_macs(program) * steps
    assert report.total.spikes_per_synapse == steps


def test_counts_of_another_program_are_refused() -> None:
    program = dense()
    counts = counted(program, inputs=[[1, 1, 1], [1, 1, 1]], spikes=[[1, 1], [1, 1]])
    with pytest.raises(ConfigurationError, match="1 samples were named, the counts hold 2"):
        measure_energy(program, counts=counts, samples=1)
    with pytest.raises(ConfigurationError, match="the counts are of layers other, the program has fc"):
        measure_energy(program, counts=replace(counts, layers={"other": counts.layers["fc"]}), samples=2)
