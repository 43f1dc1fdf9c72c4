"""Number formats against Python's own integers and against apytypes."""

import apytypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprivacy.kernels import FixedPoint, quantize, saturate, wrap, wrap_once

WIDE = st.integers(-(2**61), 2**61)
ROUNDINGS = {
    "nearest_even": apytypes.QuantizationMode.RND_CONV,
    "toward_zero": apytypes.QuantizationMode.TRN_ZERO,
    "floor": apytypes.QuantizationMode.TRN,
}
OVERFLOWS = {"wrap": apytypes.OverflowMode.WRAP, "saturate": apytypes.OverflowMode.SAT}


def arrays(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize("bits", range(1, 11))
def test_wrap_equals_twos_complement_everywhere(bits: int) -> None:
    values = np.arange(-(2**12), 2**12)
    expected = [int.from_bytes((int(v) % 2**bits).to_bytes(2), "big") for v in values]
    expected = [e - 2**bits if e >= 2 ** (bits - 1) else e for e in expected]
    assert wrap(values, bits=bits).tolist() == expected


@given(value=WIDE, bits=st.integers(1, 62))
def test_wrap_equals_apytypes(value: int, bits: int) -> None:
    number = apytypes.APyFixed(value, bits=64, int_bits=64)
    expected = number.cast(int_bits=bits, frac_bits=0, overflow=apytypes.OverflowMode.WRAP)
    found = int(wrap(arrays(value), bits=bits)[0])
    assert found % 2**bits == expected.to_bits()
    assert -(2 ** (bits - 1)) <= found < 2 ** (bits - 1)


@given(value=WIDE, low=WIDE, size=st.integers(0, 2**40))
def test_saturate_equals_min_and_max(value: int, low: int, size: int) -> None:
    assert saturate(arrays(value), lowest=low, highest=low + size).tolist() == [min(max(value, low), low + size)]


@given(value=WIDE, bits=st.integers(1, 62))
def test_saturate_equals_apytypes(value: int, bits: int) -> None:
    form = FixedPoint(bits=bits, frac=0, signed=True, overflow="saturate", rounding="floor")
    number = apytypes.APyFixed(value, bits=64, int_bits=64)
    expected = number.cast(int_bits=bits, frac_bits=0, overflow=apytypes.OverflowMode.SAT)
    found = int(saturate(arrays(value), lowest=form.lowest, highest=form.highest)[0])
    assert found % 2**bits == expected.to_bits()


@pytest.mark.parametrize("half", [1, 4, 128])
def test_wrap_once_subtracts_at_most_once(half: int) -> None:
    for value in range(-5 * half, 5 * half + 1):
        expected = value - 2 * half if value > half else value + 2 * half if value <= -half else value
        assert int(wrap_once(arrays(value), half=half)[0]) == expected


@given(st.integers(-3 * 2**23 + 1, 3 * 2**23))
def test_wrap_once_is_a_wrap_within_three_halves(value: int) -> None:
    half = 2**23
    found = int(wrap_once(arrays(value), half=half)[0])
    assert -half < found <= half
    assert (found - value) % (2 * half) == 0


def test_wrap_once_leaves_what_is_further_out() -> None:
    half = 2**23
    assert wrap_once(arrays(3 * half + 1, -3 * half), half=half).tolist() == [half + 1, -half]
    assert wrap_once(arrays(half, -half), half=half).tolist() == [half, half]


@pytest.mark.slow
@given(
    value=st.floats(-1e6, 1e6),
    bits=st.integers(2, 40),
    frac=st.integers(-4, 12),
    rounding=st.sampled_from(sorted(ROUNDINGS)),
    overflow=st.sampled_from(sorted(OVERFLOWS)),
)
@settings(max_examples=400)
def test_quantize_equals_apytypes(value: float, bits: int, frac: int, rounding: str, overflow: str) -> None:
    value = float(np.float32(value))
    form = FixedPoint(bits=bits, frac=frac, signed=True, overflow=overflow, rounding=rounding)  # type: ignore[arg-type]
    exact = apytypes.APyFixed.from_float(value, int_bits=64, frac_bits=200)
    expected = exact.cast(
        int_bits=bits - frac, frac_bits=frac, quantization=ROUNDINGS[rounding], overflow=OVERFLOWS[overflow]
    )
    assert int(quantize(np.array([value]), to=form)[0]) % 2**bits == expected.to_bits()


@given(value=st.floats(-1e5, 1e5), bits=st.integers(1, 30), frac=st.integers(-4, 12), signed=st.booleans())
def test_quantize_stays_in_its_format(value: float, bits: int, frac: int, signed: bool) -> None:
    for overflow in OVERFLOWS:
        form = FixedPoint(bits=bits, frac=frac, signed=signed, overflow=overflow, rounding="floor")  # type: ignore[arg-type]
        assert form.lowest <= int(quantize(np.array([value]), to=form)[0]) <= form.highest


@given(value=st.floats(-100, 100), frac=st.integers(0, 20))
def test_quantizing_loses_at_most_half_an_lsb(value: float, frac: int) -> None:
    form = FixedPoint(bits=40, frac=frac, signed=True, overflow="error", rounding="nearest_even")
    assert abs(float(quantize(np.array([value]), to=form)[0]) * form.lsb - value) <= form.lsb / 2


@given(integer=st.integers(-(2**39), 2**39 - 1), frac=st.integers(0, 20))
def test_integers_of_a_format_are_kept(integer: int, frac: int) -> None:
    for rounding in ROUNDINGS:
        form = FixedPoint(bits=40, frac=frac, signed=True, overflow="error", rounding=rounding)  # type: ignore[arg-type]
        assert int(quantize(np.array([integer * form.lsb]), to=form)[0]) == integer


def test_quantize_refuses_what_does_not_fit() -> None:
    form = FixedPoint(bits=8, frac=0, signed=True, overflow="error", rounding="nearest_even")
    assert quantize(np.array([127.4, -128.4]), to=form).tolist() == [127, -128]
    for value in (127.6, -128.6):
        with pytest.raises(ValueError, match="needs more than 8 bits"):
            quantize(np.array([0.0, value]), to=form)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_quantize_refuses_what_is_not_finite(value: float) -> None:
    form = FixedPoint(bits=8, frac=0, signed=True, overflow="saturate", rounding="floor")
    with pytest.raises(ValueError, match="a value is not finite"):
        quantize(np.array([value]), to=form)


@pytest.mark.parametrize("bits", [0, -1, 63])
def test_a_format_has_1_to_62_bits(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"bits \({bits}\) must be 1 to 62"):
        FixedPoint(bits=bits, frac=0, signed=True, overflow="wrap", rounding="floor")


def test_overflow_and_rounding_have_no_default() -> None:
    with pytest.raises(TypeError, match="overflow"):
        FixedPoint(bits=8, frac=0, signed=True)  # type: ignore[call-arg]


def test_the_ends_of_formats() -> None:
    signed = FixedPoint(bits=8, frac=4, signed=True, overflow="wrap", rounding="floor")
    unsigned = FixedPoint(bits=8, frac=-1, signed=False, overflow="wrap", rounding="floor")
    assert (signed.lowest, signed.highest, signed.lsb) == (-128, 127, 0.0625)
    assert (unsigned.lowest, unsigned.highest, unsigned.lsb) == (0, 255, 2.0)
