"""Numbers out of the result of one item: medians, spreads, ratios within one run."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A median, and the smallest and largest of what it is a median of."""

    middle: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    """Of some values; at least one."""
    return Spread(middle=median(values), low=min(values), high=max(values))


def measured(result: dict[str, Any], key: str) -> bool:
    """Whether there are times of this competitor."""
    row = result["rows"].get(key)
    return bool(row and row["seconds"] and "error" not in row)


def seconds(result: dict[str, Any], key: str) -> Spread:
    """Time of a call. For the matrix product: of all the products of a call at the speed that was measured."""
    return spread(_seconds(result, key))


def _seconds(result: dict[str, Any], key: str) -> list[float]:
    row, item = result["rows"][key], result["item"]
    if "flop" not in row:
        return list(row["seconds"])
    dense = 2.0 * item["macs"] * item["steps"] * item["batch"]
    return [each * dense / row["flop"] for each in row["seconds"]]


def ratio(result: dict[str, Any], above: str, below: str) -> Spread | None:
    """How many times as long `above` takes; None where the two were not measured in one run.

    The middle is the ratio of the medians, low and high are of the ratios of single rounds.
    """
    if not (measured(result, above) and measured(result, below)):
        return None
    if result["rows"][above]["run"] != result["rows"][below]["run"]:
        return None
    one, other = _seconds(result, above), _seconds(result, below)
    each = [a / b for a, b in zip(one, other, strict=False)]
    return Spread(middle=median(one) / median(other), low=min(each), high=max(each))


def fastest(result: dict[str, Any], kind: str) -> str | None:
    """The competitor of a kind with the smallest median."""
    rows = result["rows"]
    found = [key for key in rows if rows[key]["kind"] == kind and measured(result, key)]
    return min(found, key=lambda key: seconds(result, key).middle, default=None)
