"""Weights are scaled until the stated rates come out, and the integers fire like the floats."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.programs import make_program
from benchmarks.workloads import W1, W2, Weights, Workload, convnet, draw_inputs, make_weights, mlp, rates_of
from neuroprivacy.runtime.backend import check_inputs
from neuroprivacy.runtime.reference import run_reference

SMALL = mlp("small", (60, 48, 20), rate=0.1, steps=24)
IMAGES = replace(convnet("images", side=16, channels=(4, 4, 6, 6)), steps=12)


@pytest.fixture(scope="module", params=[SMALL, IMAGES], ids=["mlp", "convnet"])
def made(request: pytest.FixtureRequest) -> tuple[Workload, Weights]:
    return request.param, make_weights(request.param, samples=16)


@pytest.mark.slow
def test_every_layer_fires_at_the_stated_rate(made: tuple[Workload, Weights]) -> None:
    workload, weights = made
    assert weights.rates == pytest.approx(dict.fromkeys(weights.rates, workload.rate), abs=0.01)
    others = rates_of(workload, weights, draw_inputs(workload, 16, seed=99))
    assert others == pytest.approx(dict.fromkeys(others, workload.rate), abs=0.04)


@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_rates_of_the_scaling_study_can_be_reached(rate: float) -> None:
    weights = make_weights(mlp("x", (100, 80, 40), rate=rate, steps=16), samples=16)
    assert weights.rates == pytest.approx(dict.fromkeys(weights.rates, rate), abs=0.01)


@pytest.mark.parametrize("target", ["int8", "loihi2"])
def test_the_program_fires_like_the_float_network(made: tuple[Workload, Weights], target: str) -> None:
    workload, weights = made
    program = make_program(workload, weights, target=target)
    assert program.latency == (0 if target == "int8" else len(workload.layers))
    spikes = draw_inputs(workload, 12, seed=5)
    counts = run_reference(program, check_inputs(program, spikes)).counts
    for name, rate in rates_of(workload, weights, spikes).items():
        size = program.sizes[name]
        assert counts.layers[name].spikes.sum() / (12 * workload.steps * size) == pytest.approx(rate, abs=0.02)


def test_samples_are_distinct_and_seeded() -> None:
    drawn = draw_inputs(SMALL, 8, seed=1)
    assert len({sample.tobytes() for sample in drawn}) == 8
    np.testing.assert_array_equal(drawn, draw_inputs(SMALL, 8, seed=1))


def test_the_shapes_are_those_of_the_page() -> None:
    assert [layer.out_shape for layer in W1.layers] == [(512,), (256,), (10,)]
    assert sum(layer.macs for layer in W1.layers) * W1.steps == pytest.approx(17.1e6, rel=0.01)
    assert [layer.out_shape[0] for layer in W2.layers] == [64, 64, 128, 128, 256, 256, 512, 10]
    assert sum(layer.macs for layer in W2.layers) * W2.steps == pytest.approx(4.956e9, rel=0.01)
