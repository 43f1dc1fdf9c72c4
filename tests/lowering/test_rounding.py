"""Weights onto the grid: what calibration and compensation gain, grids that are taken over, units per channel."""

from importlib import import_module

import nir
import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.graph import GraphInfo
from neuroprivacy.graph.metadata import WEIGHT_SCALE
from neuroprivacy.lowering import LowerOptions, lower, real_network
from neuroprivacy.lowering.float_run import run_float
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.lowering.passes.split_signed_input import split_signed_input
from neuroprivacy.lowering.quantization.calibrate import Calibration, as_split
from neuroprivacy.lowering.quantization.round_weights import (
    COMMON_OF_GRADED,
    COMMON_OF_SPIKES,
    best_scale,
    round_weights,
    sum_error,
    weight_grid,
)
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import load_target


def correlated(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Sources that fire together in groups."""
    groups = rng.random((rows, 4)) < 0.3
    return (groups[:, rng.integers(0, 4, columns)] & (rng.random((rows, columns)) < 0.8)).astype(np.float64)


@pytest.mark.parametrize("bits", ["ternary", 2, 3, 4, 8])
def test_compensated_rounding_loses_less_than_the_nearest(bits: object, maker) -> None:
    weight = maker.rng.normal(size=(1, 12, 40))
    x = correlated(maker.rng, 500, 40)
    moments = (x.T @ x / 500)[None]
    grid = weight_grid(bits)  # type: ignore[arg-type]
    unit = best_scale([weight], [moments], grid, by_row=False)

    def error(rounding: str) -> float:
        """Mean squared error of the sums on the samples themselves."""
        whole = round_weights(weight, unit, grid, moments, rounding)  # type: ignore[arg-type]
        assert whole.min() >= grid.low
        assert whole.max() <= grid.high
        return float((((weight - whole * unit)[0] @ x.T) ** 2).mean())

    assert error("compensated") < 0.8 * error("nearest")


def test_the_error_of_the_sums_is_that_of_the_samples(maker) -> None:
    weight, x = maker.rng.normal(size=(2, 3, 10)), maker.rng.normal(size=(2, 50, 10))
    moments = np.matmul(x.transpose(0, 2, 1), x) / 50
    grid = weight_grid(3)
    wrong = weight - grid.rounded(weight / 0.3) * 0.3
    direct = (np.matmul(wrong, x.transpose(0, 2, 1)) ** 2).mean(2)
    np.testing.assert_allclose(sum_error(weight, np.array(0.3), grid, moments), direct)


def test_second_moments_are_those_of_the_input_of_each_output(maker) -> None:
    nodes = {
        "c": maker.conv(maker.weights(2, 1, 2, 2), (4, 4), padding=1, stride=2),
        "n": maker.neurons(2, 3, 3, theta=90.0),
        "fc": maker.linear(3, 18), "m": maker.neurons(3),
    }  # fmt: skip
    network = real_network(maker.chain((1, 4, 4), nodes, 3), options=LowerOptions())
    x = maker.spikes(3, 5, 16)
    seen = Calibration(network, {"input": x.astype(np.int64)})
    moments = {}
    for layer in network.layers:
        seen.begin([layer])
        moments[layer.name] = seen.second_moments(layer)
        seen.take([layer])
        np.testing.assert_allclose(seen.mean_error(layer, len(layer.connections[0].map.weight)), 0, atol=1e-12)
    padded = np.pad(x.reshape(15, 4, 4), ((0, 0), (1, 1), (1, 1)))
    corners = [(2 * i, 2 * j) for i in range(3) for j in range(3)]
    patches = np.stack([padded[:, i : i + 2, j : j + 2].reshape(15, 4) for i, j in corners], 1)
    rows = patches.reshape(-1, 4).astype(np.float64)
    np.testing.assert_allclose(moments["n"][0][0], rows.T @ rows / len(rows))
    assert moments["m"][0].shape == (1, 18, 18)


def test_calibration_changes_weights_only_and_must_fit(maker, lowered) -> None:
    graph = maker.chain(
        30, {"fc": nir.Linear(weight=maker.rng.normal(size=(10, 30))), "n": maker.neurons(10, theta=2.0)}, 10
    )
    x = {"input": correlated(maker.rng, 400, 30).astype(np.int64).reshape(4, 100, 30)}
    plain = lowered(graph, weight_bits=3).program.layers[0]
    tuned = lowered(graph, weight_bits=3, calibration=x).program.layers[0]
    assert (plain.edges[0].map.weight != tuned.edges[0].map.weight).any()
    for wrong in ({}, {"input": x["input"][..., :5]}):
        with pytest.raises(ConfigurationError, match=r"calibration: input needs \(samples, steps, 30\) integers"):
            lowered(graph, calibration={**wrong, "other": x["input"]})


@pytest.mark.slow
def test_biases_bring_back_the_mean_of_the_sums(maker, lowered) -> None:
    """At 2 bits: rates of the rounded network on the samples come near those of the real one, layer after layer."""
    nodes = {}
    for name, rows, columns in (("a", 40, 30), ("b", 40, 40), ("c", 40, 40)):
        nodes[name] = nir.Linear(weight=maker.rng.normal(0.15, 0.5, size=(rows, columns)).astype(np.float32))
        nodes[f"n{name}"] = maker.neurons(rows, theta=2.0)
    graph = maker.chain(30, nodes, 40)
    x = {"input": correlated(maker.rng, 1600, 30).astype(np.int64).reshape(40, 40, 30)}
    real = run_float(real_network(graph, options=LowerOptions()), x).spikes

    def drift(**options: object) -> list[float]:
        """Mean distance of the neurons' rates from the real ones, by layer."""
        done = lowered(graph, weight_bits=2, populations=1, **options)
        spikes = run_reference(done.program, x, record=Record(spikes=True)).layer_spikes or {}
        return [
            float(np.abs(spikes[name].mean((0, 1)) - real[name].mean((0, 1))).mean()) for name in ("na", "nb", "nc")
        ]

    before, after = drift(), drift(calibration=x)
    assert all(b < 0.85 * a for a, b in zip(before, after, strict=True)), (before, after)
    assert after[-1] < 0.65 * before[-1]


def test_samples_of_a_signed_port_are_split_like_the_port(maker) -> None:
    """On and off channels: the sums of the split network on them are those of the signed one."""
    graph = maker.chain(
        20, {"fc": nir.Linear(weight=maker.rng.normal(size=(10, 20))), "n": maker.neurons(10, theta=2.0)}, 10,
        info=GraphInfo(coding="poisson-signed", time_steps=40),
    )  # fmt: skip
    x = {"input": correlated(maker.rng, 80, 20).astype(np.int64).reshape(2, 40, 20) * maker.rng.choice([-1, 1], 20)}
    network = real_network(graph, options=LowerOptions())
    split = split_signed_input(network, LoweringContext.on(load_target("loihi2"), graph, LowerOptions()))
    assert split.inputs[0].size == 40
    signed, apart = (
        Calibration(each, given).second_moments(each.layers[0])[0][0]
        for each, given in ((network, x), (split, as_split(x, split)))
    )
    np.testing.assert_allclose(
        signed, apart[:20, :20] + apart[20:, 20:] - apart[:20, 20:] - apart[20:, :20], atol=1e-12
    )
    assert (
        lower(graph, target="loihi2", options=LowerOptions(weight_bits=3, calibration=x)).program.inputs[0].size == 40
    )


def test_layers_of_a_loop_are_calibrated_on_what_the_real_ones_send(maker, lowered) -> None:
    """They keep their biases; the layer behind the loop is corrected."""
    loop = maker.graph(
        {"input": 12},
        {
            "fc": nir.Linear(weight=maker.rng.normal(0.2, 0.5, size=(16, 12))), "n": maker.neurons(16, theta=2.0),
            "back": nir.Linear(weight=maker.rng.normal(0, 0.2, size=(16, 16))),
            "out": nir.Linear(weight=maker.rng.normal(0.2, 0.5, size=(8, 16))), "m": maker.neurons(8, theta=2.0),
        },
        [("input", "fc"), ("fc", "n"), ("n", "back"), ("back", "n"), ("n", "out"), ("out", "m"), ("m", "output")],
        {"output": 8},
    )  # fmt: skip
    x = {"input": maker.spikes(6, 30, 12)}
    plain = lowered(loop, weight_bits=3, populations=1).program
    tuned = lowered(loop, weight_bits=3, populations=1, calibration=x).program
    assert not plain.layer("n").bias.any()
    assert not tuned.layer("n").bias.any()
    assert tuned.layer("m").bias.any()
    assert (plain.layer("n").edges[0].map.weight != tuned.layer("n").edges[0].map.weight).any()


def test_weights_on_a_stated_grid_are_taken_over(maker, lowered) -> None:
    whole = maker.rng.integers(-3, 4, (5, 8))
    node = nir.Linear(weight=(whole * 0.37).astype(np.float32), metadata={WEIGHT_SCALE: np.array([0.37], np.float32)})
    for target in ("loihi2", "int8"):
        layer = lowered(
            maker.chain(8, {"fc": node, "n": maker.neurons(5, theta=2.0)}, 5), target, weight_bits=4
        ).program.layers[0]
        np.testing.assert_array_equal(layer.edges[0].map.weight, whole)
        assert layer.scale == pytest.approx([0.37] * len(layer.scale))
    by_channel = np.array([0.37, 0.5, 0.1, 0.2, 0.3])
    node = nir.Linear(weight=whole * by_channel[:, None], metadata={WEIGHT_SCALE: by_channel})
    graph = maker.chain(8, {"fc": node, "n": maker.neurons(5, theta=2.0)}, 5)
    np.testing.assert_array_equal(lowered(graph, "int8", weight_bits=4).program.layers[0].edges[0].map.weight, whole)
    again = lowered(graph, weight_bits=4)
    assert str(again.diagnostics[0]).startswith(
        "n: its weights lie on quantization steps that loihi2 does not have; they are rounded"
    )


def test_a_grid_that_does_not_fit_is_no_grid(maker, lowered) -> None:
    node = nir.Linear(weight=maker.rng.normal(size=(5, 8)), metadata={WEIGHT_SCALE: np.array([0.37])})
    found = lowered(maker.chain(8, {"fc": node, "n": maker.neurons(5, theta=2.0)}, 5))
    assert "its weights lie on quantization steps that loihi2 does not have" in str(found.diagnostics[0])


def test_units_per_channel_where_the_target_has_a_threshold_per_neuron(maker, lowered) -> None:
    weight = maker.rng.normal(size=(4, 2, 3, 3)) * np.array([1.0, 0.1, 0.01, 3.0]).reshape(4, 1, 1, 1)
    graph = maker.chain((2, 6, 6), {"c": maker.conv(weight, (6, 6)), "n": maker.neurons(4, 4, 4, theta=2.0)}, (4, 4, 4))
    layer = lowered(graph, "int8", weight_bits=4).program.layers[0]
    scale = np.array(layer.scale).reshape(4, -1)
    assert (np.ptp(scale, axis=1) == 0).all()
    assert len(set(scale[:, 0])) == 4
    error = layer.edges[0].map.weight * scale[:, :1, None, None] - weight
    assert (np.abs(error).max((1, 2, 3)) < 0.4 * np.abs(weight).max((1, 2, 3))).all()
    common = lowered(graph, "int8", weight_bits=4, per_channel=False).program.layers[0]
    assert len(set(common.scale)) == 1


def test_one_unit_fits_its_integers_best(maker) -> None:
    """After rounding the unit is fitted again: no nearby one has less error."""
    weight = maker.rng.normal(size=(6, 20))
    graph = maker.chain(20, {"fc": nir.Linear(weight=weight), "n": maker.neurons(6, theta=5.0)}, 6)
    for rounding, common in (("nearest", 0.0), ("compensated", COMMON_OF_SPIKES)):
        options = LowerOptions(weight_bits=2, rounding=rounding)  # type: ignore[arg-type]
        layer = lower(graph, target="loihi2", options=options).program.layers[0]
        whole, unit = layer.edges[0].map.weight, layer.scale[0]
        wrong = [weight - whole * unit * f for f in (1.0, 0.98, 1.02)]
        errors = [float((e**2).sum() + common * (e.sum(1) ** 2).sum()) for e in wrong]
        assert errors[0] <= min(errors[1:])


@pytest.mark.parametrize("bits", ["ternary", 3, 8])
@pytest.mark.parametrize("common", [COMMON_OF_SPIKES, COMMON_OF_GRADED])
def test_spreading_errors_is_compensation_for_a_common_mean(
    bits: object, common: float, maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without data: the very integers of the general rule for H = I + c·11ᵀ, in one pass."""
    monkeypatch.setattr(import_module("neuroprivacy.lowering.quantization.round_weights"), "_DAMPING", 0.0)
    weight = maker.rng.normal(size=(2, 7, 30))
    grid = weight_grid(bits)  # type: ignore[arg-type]
    unit = best_scale([weight], [None], grid, by_row=False)
    spread = round_weights(weight, unit, grid, None, "compensated", common=common)
    moments = np.broadcast_to(np.eye(30) + common, (2, 30, 30)).copy()
    np.testing.assert_array_equal(spread, round_weights(weight, unit, grid, moments, "compensated"))
    nearest = round_weights(weight, unit, grid, None, "nearest")
    wrong = [weight - whole * unit for whole in (spread, nearest)]
    errors = [float(np.einsum("grc,gcd,grd->", w, moments, w)) for w in wrong]
    assert errors[0] < (0.2 if common > 1 else 1.0) * errors[1]


def test_a_common_mean_survives_few_bits(maker, lowered) -> None:
    """Equal sources that are all on: what a bright image is to a first layer."""
    weight = maker.rng.normal(size=(40, 27)).astype(np.float64)
    graph = maker.chain(27, {"fc": nir.Linear(weight=weight), "n": maker.neurons(40, theta=20.0)}, 40)
    found = {}
    for rounding in ("nearest", "compensated"):
        layer = lowered(graph, weight_bits=4, rounding=rounding, input_max=255).program.layers[0]
        found[rounding] = float(((layer.edges[0].map.weight * layer.scale[0] - weight).sum(1) ** 2).mean())
    assert found["compensated"] < found["nearest"] / 5
