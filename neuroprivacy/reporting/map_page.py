"""The page of `target check`: the chip's cores drawn as a grid, layers and limits as tables, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroprivacy.core.storage import write_json, write_text
from neuroprivacy.reporting.formats import number
from neuroprivacy.reporting.render import render_page

#: Colours of layers; further layers begin again, and the number in a core tells them apart.
COLOURS = 8
#: Side of a core and its distance to the next, in units of the drawing.
_SIDE, _STEP = 40, 46
#: Chips that are drawn; the number of further ones is stated.
_CHIPS = 4
_RESOURCES = {"neurons": "neurons", "memory_bits": "synapse memory", "axons_in": "axons in", "axons_out": "axons out"}


def write_map(folder: Path, placement: Mapping[str, Any]) -> Path:
    """Write `map.json` and `map.html` into `folder`; returns the page's path.

    Args:
        folder: is made if needed.
        placement: as `Placement.describe` gives it, with the `model`'s name.
    """
    page = render_map(placement)
    write_json(folder / "map.json", dict(placement))
    write_text(folder / "map.html", page)
    return folder / "map.html"


def render_map(placement: Mapping[str, Any]) -> str:
    """The page; the same data give the same text.

    Args:
        placement: as `Placement.describe` gives it, with the `model`'s name.
    """
    chips = grids(placement)
    return render_page(
        "map_template.html",
        m=placement,
        chips=chips[:_CHIPS],
        left_out=max(0, len(chips) - _CHIPS),
        colours=COLOURS,
        resources=_RESOURCES,
        quantity=quantity,
    )


def grids(placement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Chips with the place, layer and fill of each core; empty where the chip has no cores."""
    total = placement["chip_cores"]
    if not total:
        return []
    number_of = {layer["name"]: place for place, layer in enumerate(placement["layers"])}
    used = {core["index"]: core for core in placement["cores"]}
    columns = 16 if total > 36 else 8 if total > 16 else min(total, 9)
    rows = -(-total // columns)
    found = []
    for chip in range(max(1, -(-(max(used, default=0) + 1) // total))):
        cells = []
        for place in range(total):
            core = used.get(chip * total + place)
            height = 0.0 if core is None else round(_SIDE * min(max(core["share"], 0.04), 1.0), 2)
            cells.append(
                {
                    "x": 3 + _STEP * (place % columns),
                    "y": 3 + _STEP * (place // columns),
                    "core": core,
                    "layer": None if core is None else number_of[core["layer"]],
                    "height": height,
                    "top": 3 + _STEP * (place // columns) + _SIDE - height,
                    "label": 3 + _STEP * (place // columns) + _label(height),
                    "deep": height >= _SIDE / 2,
                    "over": core is not None and core["share"] > 1,
                }
            )
        found.append({"cells": cells, "width": _STEP * columns, "height": _STEP * rows, "side": _SIDE})
    return found


def _label(height: float) -> float:
    """Vertical position of a core's label: in the middle of the filled part, or of the free part above it."""
    return (_SIDE - height / 2 if height >= _SIDE / 2 else (_SIDE - height) / 2) + 5


def quantity(value: int | None, unit: str = "") -> str:
    """A count, or bits and bytes in the largest binary unit that keeps them above one: 1048576 bits → "128 KiB"."""
    if value is None or not unit:
        return number(value)
    size = value / 8 if unit == "bits" else float(value)
    for name in ("B", "KiB", "MiB"):
        if size < 1024 or name == "MiB":
            return f"{number(size)}\u202f{name}"
        size /= 1024
    raise AssertionError("unreachable")
