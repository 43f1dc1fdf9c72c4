"""Exact comparison of two runs, and the first difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.runtime.backend import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first place in which two runs differ in one quantity of one layer.

    Attributes:
        quantity: "spikes", "u", "v", "readout", "counts" ...
        layer: layer or output name.
        index: (sample, step, neuron) or (sample, neuron), from 0.
        expected: value of the first run; `got` of the second.
        total: number of values that differ.
    """

    quantity: str
    layer: str
    index: tuple[int, ...]
    expected: int
    got: int
    total: int

    def __str__(self) -> str:
        at = ", ".join(str(i) for i in self.index)
        return (
            f"{self.layer}: {self.quantity} differs in {self.total} values, first at ({at}): "
            f"{self.expected} expected, {self.got} found"
        )


def first_difference(quantity: str, layer: str, expected: NDArray[Any], got: NDArray[Any]) -> Difference | None:
    """The earliest difference of two integer arrays; earliest in time if they have three axes (axis 1 is time)."""
    if expected.shape != got.shape:
        return Difference(
            quantity=f"{quantity} shape {expected.shape} and {got.shape}", layer=layer, index=(), expected=0, got=0,
            total=max(expected.size, got.size),
        )  # fmt: skip
    unequal = expected != got
    if not unequal.any():
        return None
    places = np.argwhere(unequal)
    if expected.ndim == 3:
        places = places[np.lexsort((places[:, 2], places[:, 0], places[:, 1]))]
    index = tuple(int(i) for i in places[0])
    return Difference(
        quantity=quantity,
        layer=layer,
        index=index,
        expected=int(expected[index]),
        got=int(got[index]),
        total=int(unequal.sum()),
    )


def compare(expected: RunResult, got: RunResult) -> tuple[Difference, ...]:
    """The differences of every quantity that both runs hold; empty if they agree in all of them.

    Output spikes, readout and counts are always compared; recorded spikes and states if both runs have them. Quantities
    that a backend does not report (None) are not compared.
    """
    found: list[Difference | None] = [first_difference("readout", "readout", expected.readout, got.readout)]
    found += _by_name("spikes in the window", expected.spikes, got.spikes)
    for quantity, attribute in (
        ("spikes", "layer_spikes"),
        ("final u", "final_u"),
        ("final v", "final_v"),
        ("u", "states_u"),
        ("v", "states_v"),
    ):
        left, right = getattr(expected, attribute), getattr(got, attribute)
        if left is not None and right is not None:
            found += _by_name(quantity, left, right)
    for name, counts in expected.counts.layers.items():
        if name not in got.counts.layers:
            found.append(_missing("counts are", name, 1))
            continue
        other = got.counts.layers[name]
        for field in ("spikes", "operations", "updates"):
            found.append(first_difference(f"count of {field}", name, getattr(counts, field), getattr(other, field)))
        if counts.observed is not None and other.observed is not None:
            for field in ("max_activation", "max_current", "max_membrane", "wraps", "saturations"):
                found.append(
                    first_difference(field, name, getattr(counts.observed, field), getattr(other.observed, field))
                )
    return tuple(difference for difference in found if difference is not None)


def _by_name(
    quantity: str, expected: Mapping[str, NDArray[Any]], got: Mapping[str, NDArray[Any]]
) -> list[Difference | None]:
    """The difference in one quantity of each layer."""
    return [
        first_difference(quantity, name, array, got[name])
        if name in got
        else _missing(f"{quantity} is", name, array.size)
        for name, array in expected.items()
    ]


def _missing(what: str, layer: str, total: int) -> Difference:
    """The difference for a quantity that the second run lacks."""
    return Difference(quantity=f"{what} missing", layer=layer, index=(), expected=0, got=0, total=total)
