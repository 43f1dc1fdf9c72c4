"""Random Programs: lively, reproducible, and equal on the reference and the fast simulator."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings

from neuroprivacy.program import ConvMap
from neuroprivacy.runtime.backend import Backend, load_backend
from neuroprivacy.testing import RandomCase, random_case
from neuroprivacy.testing.conformance import hold_random
from neuroprivacy.testing.random_programs import RATE_RANGE
from neuroprivacy.testing.strategies import programs

pytestmark = pytest.mark.slow

TARGETS = ("loihi2", "loihi2-soft", "int8")
NUMBER = 60


@pytest.fixture(scope="module")
def drawn() -> list[RandomCase]:
    return [random_case(seed, target=TARGETS[seed % 3], steps=40) for seed in range(NUMBER)]


@pytest.fixture(scope="module")
def fixedpoint() -> Backend:
    return load_backend("fixedpoint")


def test_the_fast_simulator_equals_the_reference(drawn: list[RandomCase], fixedpoint: Backend, tmp_path: Path) -> None:
    outcomes = [hold_random(fixedpoint, case, tmp_path) for case in drawn]
    assert [outcome for outcome in outcomes if outcome.status != "passed"] == []
    assert len(outcomes) == NUMBER


def test_most_random_programs_really_fire(drawn: list[RandomCase]) -> None:
    assert (RATE_RANGE[0], RATE_RANGE[1]) == (0.01, 0.6)
    lively = [case for case in drawn if all(0.01 <= rate <= 0.6 for rate in case.rates.values())]
    assert len(lively) >= 0.8 * NUMBER
    assert all(case.rates.keys() == {layer.name for layer in case.program.layers} for case in drawn)


def test_random_programs_use_all_that_there_is(drawn: list[RandomCase]) -> None:
    layers = [layer for case in drawn for layer in case.program.layers]
    edges = [(layer, edge) for layer in layers for edge in layer.edges]
    convs = [edge.map for _, edge in edges if isinstance(edge.map, ConvMap)]
    for what, found in {
        "recurrence": any(edge.source == layer.name for layer, edge in edges),
        "joins": any(len(layer.edges) > 2 for layer in layers),
        "delays": any(edge.delay > 2 for _, edge in edges),
        "bias": any(layer.bias.any() for layer in layers),
        "initial membranes": any(layer.v_init.any() for layer in layers),
        "soft reset": any(layer.reset == "soft" for layer in layers),
        "current": any(layer.du.min() < 4095 for layer in layers),
        "pools": any(conv.pool != (1, 1) for conv in convs),
        "strides": any(conv.stride[0] != conv.stride[1] for conv in convs),
        "dilation": any(conv.dilation[0] != conv.dilation[1] for conv in convs),
        "padding": any(conv.padding[0] != conv.padding[1] for conv in convs),
        "groups": any(conv.groups > 1 for conv in convs),
        "constants by neuron": any(layer.threshold.size > 1 for layer in layers),
        "graded input": any(case.program.inputs[0].high > 1 for case in drawn),
    }.items():
        assert found, f"no random Program has {what}"


def test_one_seed_gives_one_program() -> None:
    first, second, other = random_case(5), random_case(5), random_case(6)
    assert first.program.content_hash == second.program.content_hash
    assert all(np.array_equal(first.spikes[port], second.spikes[port]) for port in first.spikes)
    assert first.program.content_hash != other.program.content_hash


@given(case=programs(max_layers=3, max_neurons=12, max_steps=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_fast_simulator_equals_the_reference_on_whatever_hypothesis_finds(
    case: RandomCase, fixedpoint: Backend, tmp_path: Path
) -> None:
    assert hold_random(fixedpoint, case, tmp_path).status == "passed"


def test_programs_shrink_to_small_ones() -> None:
    smallest = find(
        programs(max_layers=3, max_neurons=8, max_steps=6),
        lambda case: True,
        settings=settings(max_examples=10, database=None),
    )
    (layer,) = smallest.program.layers
    assert smallest.spikes["input"].shape[:2] == (1, 1)
    assert layer.size <= 12


def test_strategies_without_hypothesis_say_what_to_do() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import neuroprivacy.testing.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "hypothesis is not installed; install it with: pip install hypothesis" in done.stderr
    assert "ConfigurationError" in done.stderr


def test_the_kit_itself_does_not_need_hypothesis() -> None:
    kit = "neuroprivacy.testing, neuroprivacy.testing.random_graphs"
    code = f"import sys; sys.modules['hypothesis'] = None; import {kit}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
