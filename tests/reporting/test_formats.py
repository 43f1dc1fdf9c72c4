"""Numbers as text, and the interval that goes with an accuracy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from neuroprivacy.reporting.accuracy_chart import interval
from neuroprivacy.reporting.formats import THIN, flatten, joule, number, percent, picojoule, points, ratio


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(12345), f"12{THIN}345"), (number(-1204), "−1204"), (number(1234.56), "1235"),
        (number(0.08731), "0.0873"), (number(9.999), "10.0"), (number(3.2e-7), "3.20e−7"),
        (number(None), "–"), (number(0.0), "0"), (number(True), "yes"),
        (number(99.96), "100"), (number("a ... b"), "a ... b"),
        (percent(0.97222), f"97.2{THIN}%"), (percent(0.000123), f"0.0123{THIN}%"),
        (percent(0), f"0.0{THIN}%"),
        (points(-0.014), "−1.4 points"), (points(0.003), "+0.3 points"), (points(-0.0001), "±0.0 points"),
        (joule(1.45e-6), f"1.45{THIN}µJ"), (joule(9.999e-10), f"1.00{THIN}nJ"), (joule(0.0), f"0{THIN}J"),
        (joule(None), "–"), (picojoule(0.23e-12), f"0.23{THIN}pJ"), (picojoule(23.6e-12), f"23.6{THIN}pJ"),
        (ratio(8.874), "8.87×"), (ratio(0.43), "0.430×"), (ratio(153.2), "153×"), (ratio(None), "–"),
    ],
)  # fmt: skip
def test_by_example(text: str, expected: str) -> None:
    assert text == expected


@given(st.floats(1e-16, 1e5))
def test_joule_is_within_half_a_digit(value: float) -> None:
    text = joule(value)
    size, unit = text.split(THIN)
    factor = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "µ": 1e-6, "m": 1e-3, "k": 1e3}.get(unit[:-1], 1.0)
    assert float(size) * factor == pytest.approx(value, rel=0.0051)


def test_flatten_keeps_order_and_says_what_is_missing() -> None:
    nested = {"b": {"x": 1, "y": [1, 2]}, "a": None, "c": [{"z": True}], "d": []}
    assert list(flatten(nested)) == [("b.x", "1"), ("b.y", "1, 2"), ("a", "–"), ("c[0].z", "yes"), ("d", "–")]


@pytest.mark.slow
@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_is_wilsons(samples: int, share: float) -> None:
    right = round(samples * share)
    expected = binomtest(right, samples).proportion_ci(method="wilson")
    assert interval(right / samples, samples) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_no_samples_no_interval() -> None:
    assert interval(0.5, None) is None
    assert interval(0.5, 0) is None
