"""The placement of a network as one call, for graphs and for Programs."""

import nir
import numpy as np
import pytest

import neuroprivacy as npv


def graph(tau_s: float = 2e-3) -> nir.NIRGraph:
    weight, one = np.eye(3, dtype=np.float32), np.ones(3, np.float32)
    leaky = nir.LIF(tau=tau_s * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([3])),
            "fc": nir.Linear(weight),
            "lif": leaky,
            "output": nir.Output(np.array([3])),
        },
        edges=[("input", "fc"), ("fc", "lif"), ("lif", "output")],
    )


def test_a_graph_is_lowered_and_placed() -> None:
    placed = npv.check_target(graph(), target="loihi2", options=npv.LowerOptions(dt_s=1e-3))
    assert not [issue for issue in placed.issues if issue.fatal]
    assert [layer.neurons for layer in placed.layers] == [3]


def test_neurons_that_leak_on_a_chip_without_decay() -> None:
    placed = npv.check_target(graph(), target="speck", options=npv.LowerOptions(dt_s=1e-3))
    assert any("of their membrane in a step, those of speck keep all of it" in str(issue) for issue in placed.issues)


def test_a_program_of_another_chip_is_counted_with_a_diagnostic() -> None:
    program = npv.lower(graph(), target="loihi2", options=npv.LowerOptions(dt_s=1e-3)).program
    assert not [i for i in npv.check_target(program, target="loihi2").issues if "lowered for" in str(i)]
    (found,) = [i for i in npv.check_target(program, target="loihi1").issues if "lowered for" in str(i)]
    assert not found.fatal
    with pytest.raises(npv.ConfigurationError, match="nowhere"):
        npv.check_target(program, target="nowhere")
