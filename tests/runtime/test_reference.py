"""The reference against SEMANTICS.md where no case of the kit says it already."""

from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.reference import Interpreter, ReferenceBackend, run_reference
from neuroprivacy.testing import random_case
from neuroprivacy.testing.case import edge, layer, network

EVERYTHING = Record(spikes=True, final=True, states=True)


def one_neuron_by_hand(program: Program, x: list[int]) -> tuple[list[int], list[int], list[int]]:
    """A single neuron with a single edge in Python's own integers."""
    node, rule = program.layers[0], program.target.rule
    weight, delay = int(node.edges[0].map.weight[0, 0]), node.edges[0].delay
    u, v, spikes, us, vs = 0, int(node.v_init[0]), [], [], []

    def toward_zero(product: int) -> int:
        return (abs(product) >> 12) * (1 if product >= 0 else -1)

    for t in range(len(x) + program.latency):
        past = t - delay
        a = weight * (x[past] if 0 <= past < len(x) else 0)
        if rule.keeps_current:
            u = toward_zero(u * (4096 - int(node.du[0]) - rule.du_offset)) + (a << rule.activation_shift)
            u = u - 2**24 if u > 2**23 else u + 2**24 if u <= -(2**23) else u
        else:
            u = a
        v = toward_zero(v * (4096 - int(node.dv[0]))) + u + (int(node.bias_mantissa[0]) << node.bias_exponent)
        v = max(rule.v_lowest, min(rule.v_highest, v))
        theta = int(node.threshold[0]) << rule.threshold_shift
        fired = node.fires and (v > theta if rule.threshold_test == ">" else v >= theta)
        if fired:
            v = v - theta if node.reset == "soft" else 0
        spikes.append(int(fired))
        us.append(u)
        vs.append(v)
    return spikes, us, vs


@pytest.mark.slow
@pytest.mark.parametrize("target", ["loihi2", "loihi2-soft", "int8"])
@pytest.mark.parametrize("seed", range(25))
def test_one_neuron_in_pythons_integers(target: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    small, weight = target == "int8", int(rng.integers(-128, 128))
    program = network(
        [
            layer(
                "n",
                [edge("input", [[weight]], delay=int(rng.integers(0 if small else 1, 5)))],
                threshold=int(rng.integers(1, 300)),
                du=int(rng.integers(0, 4096)), dv=int(rng.integers(0, 4096)),
                bias=int(rng.integers(-500, 500)), bias_exponent=0 if small else int(rng.integers(0, 4)),
                v_init=int(rng.integers(-5000, 5000)), reset="hard" if target == "loihi2" else "soft",
            )
        ],
        target=target,
    )  # fmt: skip
    x = rng.integers(0, 2, 60).tolist()
    spikes, us, vs = one_neuron_by_hand(program, x)
    result = run_reference(program, {"input": np.array(x).reshape(1, -1, 1)}, record=EVERYTHING)
    assert result.layer_spikes is not None
    assert result.states_u is not None
    assert result.states_v is not None
    assert result.layer_spikes["n"].reshape(-1).tolist() == spikes
    assert result.states_u["n"].reshape(-1).tolist() == us
    assert result.states_v["n"].reshape(-1).tolist() == vs


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_does_not_know_of_the_others(seed: int) -> None:
    case = random_case(seed, target=("loihi2-soft", "int8")[seed % 2], samples=3, steps=12, max_neurons=10)
    whole = run_reference(case.program, case.spikes, record=EVERYTHING)
    for i in range(3):
        alone = run_reference(
            case.program, {port: array[i : i + 1] for port, array in case.spikes.items()}, record=EVERYTHING
        )
        assert alone.readout[0].tolist() == whole.readout[i].tolist()
        for attribute in ("layer_spikes", "states_u", "states_v", "final_u", "final_v"):
            for name, array in getattr(alone, attribute).items():
                assert np.array_equal(array[0], getattr(whole, attribute)[name][i])


def test_the_window_begins_after_the_latency() -> None:
    case = random_case(1010, target="loihi2-soft", steps=9)
    result = run_reference(case.program, case.spikes, record=EVERYTHING)
    name, latency = case.program.outputs[0], case.program.latency
    assert latency >= 2
    assert result.layer_spikes is not None
    assert result.layer_spikes[name].shape[1] == 9 + latency
    assert np.array_equal(result.spikes[name], result.layer_spikes[name][:, latency:])
    assert np.array_equal(result.readout, result.spikes[name].sum(axis=1))


def test_final_states_are_the_last_ones() -> None:
    case = random_case(2, steps=7)
    result = run_reference(case.program, case.spikes, record=EVERYTHING)
    assert result.final_u is not None
    assert result.final_v is not None
    assert result.states_u is not None
    assert result.states_v is not None
    for name in result.final_u:
        assert np.array_equal(result.final_u[name], result.states_u[name][:, -1])
        assert np.array_equal(result.final_v[name], result.states_v[name][:, -1])


def test_the_interpreter_can_be_stepped_by_hand() -> None:
    program = network([layer("n", [edge("input", [[5]], delay=2)], threshold=100)], latency=2)
    machine = Interpreter(program, samples=1)
    seen = []
    for x in (1, 0, 0, 1):
        machine.step({"input": np.array([[x]])})
        seen.append(int(machine.v["n"][0, 0]))
    assert seen == [0, 0, 320, 320]
    machine.step({"input": np.array([[0]])})
    machine.step({"input": np.array([[0]])})
    assert int(machine.v["n"][0, 0]) == 640


def test_the_input_is_left_alone() -> None:
    case = random_case(3, steps=5)
    before = {port: array.copy() for port, array in case.spikes.items()}
    run_reference(case.program, case.spikes)
    assert all(np.array_equal(before[port], array) for port, array in case.spikes.items())


@pytest.mark.slow
def test_the_reference_refuses_nothing(tmp_path: Path) -> None:
    case = random_case(3)
    backend = ReferenceBackend()
    assert backend.check(case.program) == ()
    assert backend.build(case.program, tmp_path).program is case.program
