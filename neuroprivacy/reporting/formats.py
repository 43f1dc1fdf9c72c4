"""Numbers as text, the same everywhere on the page. A missing number is a dash, never a zero."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

MISSING = "–"
#: Between a number and its unit and between thousands: narrow, no line break.
THIN = "\u202f"
_PREFIXES = ((1e-15, "f"), (1e-12, "p"), (1e-9, "n"), (1e-6, "µ"), (1e-3, "m"), (1.0, ""), (1e3, "k"))
_DIGITS = 3


def number(value: float | str | None) -> str:
    """12345 → "12 345", 1234.56 → "1235", 0.08731 → "0.0873"; whole numbers exactly, others to 3 digits."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or float(value).is_integer():
        text = f"{int(value):,}" if abs(value) >= 10_000 else f"{int(value)}"
        return text.replace(",", THIN).replace("-", "−")
    if abs(value) >= 10 ** (_DIGITS - 1):
        return number(round(value))
    if abs(value) < 1e-4:
        mantissa, exponent = f"{value:.{_DIGITS - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return f"{_significant(value)}".replace("-", "−")


def _significant(value: float) -> str:
    """Three significant digits without an exponent, trailing zeros kept: 2 → "2.00"."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{_DIGITS - 1}e}")
    places = max(0, _DIGITS - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{places}f}"


def percent(fraction: float | None) -> str:
    """0.97222 → "97.2 %"; shares below 0.1 % keep three digits."""
    if fraction is None:
        return MISSING
    share = 100 * fraction
    text = f"{share:.1f}" if share == 0 or abs(share) >= 0.1 else _significant(share)
    return f"{text}{THIN}%".replace("-", "−")


def points(difference: float) -> str:
    """-0.014 → "−1.4 points", +0.003 → "+0.3 points"."""
    text = f"{100 * difference:+.1f}"
    return f"{'±0.0' if text in ('+0.0', '-0.0') else text} points".replace("-", "−")


def joule(value: float | None) -> str:
    """Energy with a unit prefix: 1.45e-6 becomes "1.45 µJ"."""
    if value is None:
        return MISSING
    if value == 0:
        return f"0{THIN}J"
    rounded = float(f"{value:.{_DIGITS - 1}e}")
    size, prefix = next((p for p in reversed(_PREFIXES) if abs(rounded) >= p[0]), _PREFIXES[0])
    return f"{_significant(rounded / size)}{THIN}{prefix}J".replace("-", "−")


def picojoule(value: float) -> str:
    """4.6e-12 → "4.6 pJ": constants as their sources print them."""
    return f"{value * 1e12:.6g}{THIN}pJ"


def ratio(value: float | None) -> str:
    """A ratio: 8.874 becomes "8.87×"."""
    return MISSING if value is None else f"{number(value) if value >= 100 else _significant(value)}×"


def flatten(value: Any, within: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as (dotted name, text) in their own order; numbers as JSON writes them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flatten(inner, f"{within}.{name}" if within else str(name))
    elif isinstance(value, (list, tuple)) and any(isinstance(inner, (Mapping, list, tuple)) for inner in value):
        for i, inner in enumerate(value):
            yield from flatten(inner, f"{within}[{i}]")
    elif isinstance(value, (list, tuple)):
        yield within, ", ".join(_plain(inner) for inner in value) or MISSING
    else:
        yield within, _plain(value)


def _plain(value: Any) -> str:
    """A single value as text."""
    if value is None or value == "":
        return MISSING
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
