"""Cases of time: delays, joins, recurrence, latency, bias timing, batches, silence and the loudest input."""

from __future__ import annotations

import numpy as np

from neuroprivacy.program import Port
from neuroprivacy.testing.case import Case, edge, layer, network, train


def time_cases() -> tuple[Case, ...]:
    """The cases that test delays, latency and recurrence."""
    return (
        _chain(), _delays(), _join(), _late_join(),
        _early_output(), _recurrent(), _mutual(), _bias_chain(), _aligned_bias(), _batch(),
        _silence(), _loudest(), _two_outputs(), _two_inputs(), _int8_chain(), _int8_recurrent(), _membrane(),
    )  # fmt: skip


def _chain() -> Case:
    program = network(
        [
            layer("a", [edge("input", [[10]])], threshold=5),
            layer("b", [edge("a", [[10]])], threshold=5),
            layer("c", [edge("b", [[10]])], threshold=5),
        ]
    )
    return Case(
        name="every_edge_costs_one_step",
        rule="layer l sees input step k at step k + l; the window is read latency steps late",
        program=program,
        spikes=train(1, 0, 1),
        expect_spikes={"a": [0, 1, 0, 1, 0, 0], "b": [0, 0, 1, 0, 1, 0], "c": [0, 0, 0, 1, 0, 1]},
    )


def _delays() -> Case:
    program = network(
        [
            layer("near", [edge("input", [[10]], delay=1)], threshold=5),
            layer("far", [edge("input", [[10]], delay=3)], threshold=5),
            layer("out", [edge("near", [[7]], delay=3), edge("far", [[8]], delay=1)], threshold=10),
        ],
        latency=4,
    )
    return Case(
        name="delays_shift_whole_steps",
        rule="a = sum of W x[t - delay]",
        program=program,
        spikes=train(1, 0, 0),
        expect_spikes={
            "near": [0, 1, 0, 0, 0, 0, 0],
            "far": [0, 0, 0, 1, 0, 0, 0],
            "out": [0, 0, 0, 0, 1, 0, 0],
        },
        expect_u={"out": [0, 0, 0, 0, 15 * 64, 0, 0]},
    )


def _join() -> Case:
    program = network(
        [
            layer("left", [edge("input", [[9, 0]])], threshold=5),
            layer("right", [edge("input", [[0, 9]])], threshold=5),
            layer("out", [edge("left", [[6]]), edge("right", [[-4]]), edge("left", [[1]], delay=2)], threshold=50),
        ],
        latency=2,
    )
    return Case(
        name="edges_of_a_join_add",
        rule="a = sum over edges; one source may come twice",
        program=program,
        spikes=train([1, 1], [1, 0], [0, 1]),
        expect_v={"out": [0, 0, 128, 576, 384]},
    )


def _late_join() -> Case:
    program = network(
        [
            layer("long", [edge("input", [[9]])], threshold=5),
            layer("out", [edge("long", [[3]]), edge("input", [[2]], delay=2)], threshold=4),
        ]
    )
    return Case(
        name="balanced_branches_meet_in_one_step",
        rule="a delayed short branch arrives with the long one",
        program=program,
        spikes=train(1, 0, 1),
        expect_spikes={"out": [0, 0, 1, 0, 1]},
        expect_u={"out": [0, 0, 320, 0, 320]},
    )


def _early_output() -> Case:
    program = network(
        [layer("a", [edge("input", [[9]])], threshold=5), layer("b", [edge("a", [[9]])], threshold=5)],
        outputs=("a", "b"),
        latencies=(1, 2),
    )
    return Case(
        name="each_output_has_its_own_latency",
        rule="an output is read as many steps late as it lies deep",
        program=program,
        spikes=train(1, 0, 1),
        expect_spikes={"a": [0, 1, 0, 1, 0], "b": [0, 0, 1, 0, 1]},
    )


def _recurrent() -> Case:
    program = network(
        [layer("n", [edge("input", [[10]]), edge("n", [[-4]], delay=1)], threshold=8)],
        latency=1,
    )
    return Case(
        name="a_recurrent_edge_costs_one_step",
        rule="a recurrent edge's one step is part of the model",
        program=program,
        spikes=train(1, 1, 1, 1),
        expect_spikes={"n": [0, 1, 0, 1, 0]},
        expect_v={"n": [0, 0, 384, 0, 384]},
    )


def _mutual() -> Case:
    program = network(
        [
            layer("a", [edge("input", [[10]]), edge("b", [[6]], delay=2)], threshold=5),
            layer("b", [edge("a", [[10]])], threshold=5),
        ]
    )
    return Case(
        name="layers_in_a_cycle_feed_each_other",
        rule="an edge from a later layer reads an earlier step",
        program=program,
        spikes=train(1, 0, 0, 0),
        expect_spikes={"a": [0, 1, 0, 0, 1, 0], "b": [0, 0, 1, 0, 0, 1]},
    )


def _bias_chain() -> Case:
    program = network(
        [
            layer("a", [edge("input", [[1]])], threshold=2, bias=65),
            layer("b", [edge("a", [[3]])], threshold=2),
        ]
    )
    return Case(
        name="bias_acts_before_the_first_input",
        rule="bias acts from step 1, before the first input has come through",
        program=program,
        spikes=train(0, 0, 0),
        expect_spikes={"a": [0, 1, 0, 1, 0], "b": [0, 0, 1, 0, 1]},
        expect_v={"a": [65, 0, 65, 0, 65]},
    )


def _aligned_bias() -> Case:
    program = network(
        [
            layer("a", [edge("input", [[1]])], threshold=2, bias=65, v_init=-65),
            layer("b", [edge("a", [[3]])], threshold=4, bias=10, v_init=-20),
        ]
    )
    return Case(
        name="v_init_undoes_the_early_bias",
        rule="align_bias: v_init = -k bias makes the delayed network equal the latency-free one",
        program=program,
        spikes=train(0, 0, 0),
        expect_v={"a": [0, 65, 0, 65, 0], "b": [-10, 0, 10, 212, 222]},
    )


def _batch() -> Case:
    weight = np.arange(-6, 6).reshape(3, 4) * 7
    program = network(
        [
            layer("a", [edge("input", weight)], threshold=9, du=1000, dv=200, bias=30),
            layer("b", [edge("a", [[30, -20, 25]])], threshold=12, du=3000),
        ]
    )
    spikes = np.random.default_rng(7).integers(0, 2, (5, 12, 4))
    return Case(
        name="a_batch_equals_its_samples_alone",
        rule="each sample starts with u = 0, v = v_init, empty edge buffers, as if it were alone",
        program=program,
        spikes=spikes,
    )


def _silence() -> Case:
    program = network([layer("n", [edge("input", [[9, -9]])], threshold=3, dv=100, v_init=-50)])
    return Case(
        name="silent_input",
        rule="no input, no bias: v only decays",
        program=program,
        spikes=train([0, 0], [0, 0]),
        expect_v={"n": [-48, -46, -44]},
        expect_spikes={"n": [0, 0, 0]},
    )


def _loudest() -> Case:
    program = network(
        [
            layer("a", [edge("input", np.full((3, 40), 127))], threshold=2000),
            layer("b", [edge("a", [[127, 127, 127], [-128, -128, -128]])], threshold=300, reset="soft"),
        ],
        target="loihi2-soft",
    )
    return Case(
        name="loudest_input",
        rule="all inputs at every step, largest weights",
        program=program,
        spikes=np.ones((1, 4, 40), np.int64),
        expect_spikes={"a": [[0] * 3, [1] * 3, [1] * 3, [1] * 3, [1] * 3, [0] * 3]},
        expect_v={"b": [[0, 0], [0, 0], [5184, -24576], [10368, -49152], [15552, -73728], [20736, -98304]]},
    )


def _two_outputs() -> Case:
    program = network(
        [
            layer("a", [edge("input", [[10], [3]])], threshold=5),
            layer("b", [edge("input", [[6]])], threshold=5),
        ],
        outputs=("a", "b"),
        latency=1,
    )
    return Case(
        name="several_outputs",
        rule="outputs are named; the readout is the first one's",
        program=program,
        spikes=train(1, 1, 0),
        expect_spikes={"a": [[0, 0], [1, 0], [1, 1], [0, 0]], "b": [0, 1, 1, 0]},
    )


def _two_inputs() -> Case:
    program = network(
        [layer("n", [edge("input", [[5]]), edge("input2", [[2, 3]])], threshold=9)],
        inputs=(Port(name="input", shape=(1,)), Port(name="input2", shape=(2,), high=3)),
        latency=1,
    )
    return Case(
        name="several_inputs",
        rule="inputs are named ports; one port's array is given as zeros here",
        program=program,
        spikes=train(1, 1, 1),
        expect_v={"n": [0, 320, 0, 320]},
    )


def _int8_chain() -> Case:
    program = network(
        [
            layer("a", [edge("input", [[10]], delay=0)], threshold=10),
            layer("b", [edge("a", [[4]], delay=0)], threshold=8),
        ],
        target="int8",
    )
    return Case(
        name="int8_edges_cost_nothing",
        rule="on int8 edges cost 0 steps and there is no latency",
        program=program,
        spikes=train(1, 0, 1),
        expect_spikes={"a": [1, 0, 1], "b": [0, 0, 1]},
    )


def _int8_recurrent() -> Case:
    program = network(
        [layer("n", [edge("input", [[10]], delay=0), edge("n", [[-4]], delay=1)], threshold=8)],
        target="int8",
    )
    return Case(
        name="int8_recurrence_reads_the_step_before",
        rule="an edge without delay may not close a loop; one with a delay may",
        program=program,
        spikes=train(1, 1, 1),
        expect_spikes={"n": [1, 0, 1]},
    )


def _membrane() -> Case:
    program = network(
        [
            layer("a", [edge("input", [[9]])], threshold=5),
            layer("out", [edge("a", [[20], [-30], [20]])], threshold=131071, fires=False),
        ],
        readout="membrane",
    )
    return Case(
        name="membrane_readout_after_the_last_step",
        rule="membrane: v of a non-firing last layer after the last step; ties go to the lowest index",
        program=program,
        spikes=train(1, 1, 0),
        expect_v={"out": [[0, 0, 0]] * 2 + [[1280, -1920, 1280]] + [[2560, -3840, 2560]] * 2},
    )
