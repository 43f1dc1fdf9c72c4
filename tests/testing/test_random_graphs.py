"""Random graphs: they fire, hold every kind of node, and come out of `lower` the same on two simulators."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.graph import load_nir, save_nir
from neuroprivacy.lowering import lower
from neuroprivacy.runtime.backend import load_backend
from neuroprivacy.testing.conformance import hold_random
from neuroprivacy.testing.random_graphs import RandomGraph, random_graph, random_graph_case

pytestmark = pytest.mark.slow

TARGETS = ("loihi2", "loihi2-soft", "int8")


@pytest.fixture(scope="module")
def drawn() -> list[RandomGraph]:
    return [random_graph(seed, target=TARGETS[seed % 3], steps=10) for seed in range(60)]


def test_all_kinds_of_nodes_and_arrangements_occur(drawn: list[RandomGraph]) -> None:
    kinds = Counter(type(node).__name__ for each in drawn for node in each.graph.nodes.values())
    assert set(kinds) >= {
        "Input", "Output", "Linear", "Affine", "Scale", "Conv1d", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten",
        "Delay", "Threshold", "IF", "LIF", "CubaLIF", "LI", "I", "NIRGraph",
    }  # fmt: skip
    programs = [each.lowered.program for each in drawn]
    assert any(len(program.inputs) > 1 for program in programs)
    assert any(len(program.outputs) > 1 for program in programs)
    assert any(program.latencies for program in programs)
    assert any(len(layer.edges) > 1 for program in programs for layer in program.layers)
    assert any(edge.source == layer.name for p in programs for layer in p.layers for edge in layer.edges)
    assert any(layer.u_init.any() for program in programs for layer in program.layers)


def test_most_of_them_fire_in_every_layer() -> None:
    cases = [random_graph_case(seed, target=TARGETS[seed % 3]) for seed in range(45)]
    assert sum(case.lively for case in cases) >= 0.8 * len(cases)


@pytest.mark.parametrize("seed", range(24))
def test_the_fast_simulator_equals_the_reference(seed: int, tmp_path: Path) -> None:
    case = random_graph_case(seed, target=TARGETS[seed % 3])
    assert hold_random(load_backend("fixedpoint"), case, tmp_path, kind="graph").status == "passed"


def test_a_seed_gives_the_same_graph_and_program() -> None:
    one, other = random_graph(7, steps=10), random_graph(7, steps=10)
    assert one.lowered.program.content_hash == other.lowered.program.content_hash
    np.testing.assert_array_equal(one.spikes["in0"], other.spikes["in0"])


def test_graphs_survive_the_file(drawn: list[RandomGraph], tmp_path: Path) -> None:
    """Saved, loaded and lowered: the same Program, whatever the order of nodes in the file."""
    for each in drawn[:20]:
        read = load_nir(save_nir(each.graph, tmp_path / "graph.nir"))
        target = each.lowered.program.target
        got = lower(read, target=target, options=each.options).program
        want = {layer.name: layer for layer in each.lowered.program.layers}
        assert {layer.name for layer in got.layers} == set(want)
        for layer in got.layers:
            np.testing.assert_array_equal(layer.threshold, want[layer.name].threshold)
            assert len(layer.edges) == len(want[layer.name].edges)
