"""Encoding: what the numbers mean, and that a sample's spikes are its own."""

import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.program.encoder import DIRECT_HIGH, Encoder, encode, encoder_from

RNG = np.random.default_rng(5)
SAMPLES = RNG.random((6, 2, 3, 4), np.float32)


def test_poisson_fires_with_the_probability_of_the_value() -> None:
    levels = np.array([[0.0, 0.1, 0.25, 0.5, 0.9, 1.0]], np.float32)
    spikes = encode(levels, encoder=Encoder(coding="poisson", time_steps=20_000, seed=3))
    assert spikes.shape == (1, 20_000, 6)
    assert set(np.unique(spikes)) == {0, 1}
    # Five standard deviations of a Bernoulli mean; 0 and 1 are exact.
    np.testing.assert_array_less(np.abs(spikes[0].mean(0) - levels[0]), 5 * 0.5 / np.sqrt(20_000))
    assert spikes[0, :, 0].sum() == 0
    assert spikes[0, :, -1].sum() == 20_000


def test_poisson_signed_has_the_sign_and_the_probability_of_2x_minus_1() -> None:
    levels = np.array([[0.0, 0.2, 0.5, 0.75, 1.0]], np.float32)
    spikes = encode(levels, encoder=Encoder(coding="poisson-signed", time_steps=20_000, seed=3))
    np.testing.assert_array_less(np.abs(spikes[0].mean(0) - (2 * levels[0] - 1)), 5 / np.sqrt(20_000))
    assert set(np.unique(spikes[0, :, 1])) == {-1, 0}
    assert set(np.unique(spikes[0, :, 3])) == {0, 1}
    assert not spikes[0, :, 2].any()
    np.testing.assert_array_equal(spikes[0, :, [0, 4]], np.repeat([[-1], [1]], 20_000, axis=1))


def test_steps_and_values_are_independent() -> None:
    spikes = encode(np.full((1, 2), 0.5, np.float32), encoder=Encoder(coding="poisson", time_steps=20_000, seed=1))[0]
    centred = spikes - 0.5
    assert abs((centred[:, 0] * centred[:, 1]).mean()) < 5 * 0.25 / np.sqrt(20_000)
    assert abs((centred[1:] * centred[:-1]).mean()) < 5 * 0.25 / np.sqrt(20_000)


def test_direct_is_the_rounded_sample_at_every_step() -> None:
    values = encode(SAMPLES, encoder=Encoder(coding="direct", time_steps=3))
    assert values.shape == (6, 3, 2, 3, 4)
    for t in range(3):
        np.testing.assert_array_equal(values[:, t], np.rint(SAMPLES * 255))
    assert encode(np.ones((1, 1), np.float32), encoder=Encoder(coding="direct", time_steps=1)).item() == DIRECT_HIGH


@pytest.mark.parametrize("coding", ["poisson", "poisson-signed", "direct"])
def test_a_sample_gets_its_spikes_whatever_the_batch(coding: str) -> None:
    encoder = Encoder(coding=coding, time_steps=7, seed=9)
    whole = encode(SAMPLES, encoder=encoder)
    np.testing.assert_array_equal(whole, encode(SAMPLES, encoder=encoder))
    for size in (1, 2, 4, 5):
        parts = [encode(SAMPLES[i : i + size], encoder=encoder, first=i) for i in range(0, len(SAMPLES), size)]
        np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_seeds_and_sample_numbers_give_other_spikes() -> None:
    same = np.full((2, 50), 0.5, np.float32)
    first = encode(same, encoder=Encoder(coding="poisson", time_steps=20, seed=0))
    assert (first[0] != first[1]).any()
    assert (first != encode(same, encoder=Encoder(coding="poisson", time_steps=20, seed=1))).any()


def test_the_port_knows_range_and_unit() -> None:
    direct = Encoder(coding="direct", time_steps=2).port((1, 8, 8), name="image")
    assert (direct.name, direct.shape, direct.low, direct.high) == ("image", (1, 8, 8), 0, 255)
    assert direct.scale * direct.high == 1
    assert [Encoder(coding=c, time_steps=2).port((3,)).low for c in ("poisson", "poisson-signed")] == [0, -1]


@pytest.mark.parametrize("coding", ["poisson", "poisson-signed", "direct"])
def test_an_encoder_survives_being_written_down(coding: str) -> None:
    encoder = Encoder(coding=coding, time_steps=4, seed=2**40)
    assert encoder_from(encoder.describe()) == encoder
    assert encoder.describe()["preprocessing"] == ("2x - 1" if coding == "poisson-signed" else "none, [0, 1]")


@pytest.mark.parametrize("bad", [-0.001, 1.001, np.nan, np.inf])
def test_values_outside_0_to_1_are_refused(bad: float) -> None:
    samples = SAMPLES.copy()
    samples[3, 1, 2, 0] = bad
    with pytest.raises(ConfigurationError, match=r"encode: values .* leave 0 \.\.\. 1"):
        encode(samples, encoder=Encoder(coding="direct", time_steps=2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"coding": "rate", "time_steps": 1}, "coding: 'rate' is unknown; choose poisson, poisson-signed, direct"),
        ({"coding": "poisson", "time_steps": 0}, "time steps: 0 is below 1"),
        ({"coding": "poisson", "time_steps": 1, "seed": -1}, "seed: -1 is not in 0"),
    ],
)
def test_an_impossible_encoder_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Encoder(**fields)


@pytest.mark.parametrize("described", [{}, {"coding": "poisson", "steps": "many", "seed": 0}])
def test_a_damaged_description_is_refused(described: dict) -> None:
    with pytest.raises(ConfigurationError, match="encoder: cannot be read from"):
        encoder_from(described)
