"""Weights at their bit width: what Python packs, Python unpacks, and so does the C that is emitted for it."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroprivacy_c99.packing import Constant, bits_of, packed, stored_bits, unpacked, unpacker
from neuroprivacy_c99.toolchain import STRICT, compile_c, find_compiler

WIDTHS = range(2, 33)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    """A width and numbers that fit it."""
    bits = draw(st.sampled_from(WIDTHS))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    drawn = draw(st.lists(st.integers(low, high), min_size=1, max_size=40))
    return bits, np.array(drawn, np.int64)


@given(numbers())
def test_packing_loses_nothing(drawn: tuple[int, np.ndarray]) -> None:
    bits, values = drawn
    stored = packed(values, bits)
    assert np.array_equal(unpacked(stored, bits, len(values)), values)
    assert len(stored) == -(-len(values) * bits // 8) + (8 % bits != 0)


@given(numbers())
def test_the_width_is_the_smallest_that_holds_all(drawn: tuple[int, np.ndarray]) -> None:
    _, values = drawn
    bits = bits_of(values)
    assert values.min() >= -(2 ** (bits - 1))
    assert values.max() < 2 ** (bits - 1)
    assert bits == 2 or values.min() < -(2 ** (bits - 2)) or values.max() >= 2 ** (bits - 2)


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([-1, 0, 1], 2), ([0], 2), ([-2, 1], 2), ([2], 3), ([-8, 7], 4), ([8], 5), ([-128, 127], 8), ([128], 16),
        ([-(2**15)], 16), ([2**15], 32), ([-(2**31) + 1], 32),
    ],
)  # fmt: skip
def test_widths(values: list[int], bits: int) -> None:
    assert stored_bits(np.array(values)) == bits


def test_the_layout_is_lowest_bits_first_in_twos_complement() -> None:
    assert packed(np.array([1, -1, 0, -2]), 2).tolist() == [0b10_00_11_01]
    assert packed(np.array([3, -4, 1]), 3).tolist() == [0b01_100_011, 0b0, 0]


def test_numbers_as_c_reads_them() -> None:
    text = Constant(name="a", type="int32_t", values=np.array([-(2**31), 2**31 - 1, 0])).text()
    assert text == "static const int32_t a[3] = {\n    (-2147483647 - 1), 2147483647, 0\n};\n"
    assert Constant(name="a", type="int16_t", values=np.zeros(5, np.int64)).size_bytes == 10


def test_the_c_that_unpacks(tmp_path: Path) -> None:
    """Every width below a byte, at every position within one."""
    compiler = find_compiler("cc", "gcc", "clang")
    if compiler is None:
        pytest.skip("not run: no C compiler is here")
    rng = np.random.default_rng(0)
    values = {bits: rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), 64) for bits in range(2, 8)}
    parts = ["#include <stdint.h>\n", *(unpacker(bits) for bits in values)]
    for bits, drawn in values.items():
        stored = packed(drawn, bits).astype(np.int64)
        parts.append(Constant(name=f"array_{bits}", type="uint8_t", values=stored).text())
        parts.append(f"int32_t read_{bits}(uint32_t at);\nint32_t read_{bits}(uint32_t at)")
        parts.append(f"{{ return weight_{bits}(array_{bits}, at); }}\n")
    (tmp_path / "unpack.c").write_text("\n".join(parts))
    compile_c(compiler, [*STRICT, "-fPIC", "-shared", str(tmp_path / "unpack.c"), "-o", str(tmp_path / "unpack.so")])
    library = ctypes.CDLL(str(tmp_path / "unpack.so"))
    for bits, drawn in values.items():
        read = library[f"read_{bits}"]
        assert [read(ctypes.c_uint32(i)) for i in range(len(drawn))] == drawn.tolist()
