"""The page of `target check`: a square for each core, filled by its use, and nothing that the data could break."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from neuroprivacy.reporting import write_map
from neuroprivacy.reporting.map_page import grids, quantity, render_map


def layer(name: str, cores: int) -> dict[str, Any]:
    return {
        "name": name, "neurons": 12345, "synapses": 4567890, "weights": 1234, "memory_bits": 8192 * 3, "fan_in": 27,
        "fan_out": 64, "axons_in": 111, "axons_out": 222, "delay_slots": 3, "cores": cores,
    }  # fmt: skip


def core(index: int, name: str, share: float) -> dict[str, Any]:
    return {
        "index": index, "layer": name, "first": 8 * index, "last": 8 * index + 8, "neurons": 8, "share": share,
        "fullest": "axons_in",
    }  # fmt: skip


def placement(*cores: dict[str, Any], chip_cores: int = 128, layers: tuple[str, ...] = ("a", "b")) -> dict[str, Any]:
    return {
        "target": "loihi1", "title": "a chip", "model": "net", "fits": True, "doubtful": False, "sentence": "It fits.",
        "chip_cores": chip_cores, "cores": list(cores), "issues": [], "notes": ["an estimate"],
        "layers": [layer(name, sum(c["layer"] == name for c in cores)) for name in layers],
        "uses": [
            {"name": "cores", "used": len(cores), "limit": 128, "standing": "published", "source": "paper", "unit": ""},
            {"name": "synapse memory", "used": 8192 * 9, "limit": 8192, "standing": "secondary", "source": "a wiki",
             "unit": "bits"},
        ],
    }  # fmt: skip


def test_a_square_for_every_core_filled_by_its_share() -> None:
    page = render_map(placement(core(0, "a", 0.5), core(1, "b", 1.0), core(2, "b", 1.25)))
    assert page.count('class="core') == 128
    assert page.count('class="core over"') == 1
    heights = [float(h) for h in re.findall(r'class="l\d" x="[\d.]+" y="[\d.]+" width="40" height="([\d.]+)"', page)]
    assert heights == [20.0, 40.0, 40.0]
    assert "Cores of chip 1: 3 of 128 are used." in page
    assert "<title>Core 2: b, neurons 16 to 23; axons in at 125.0\u202f%</title>" in page
    assert "Chip 1" not in page


@pytest.mark.parametrize(("index", "chips"), [(0, 1), (127, 1), (128, 2), (900, 8)])
def test_more_cores_than_one_chip_has(index: int, chips: int) -> None:
    data = placement(core(index, "a", 0.5))
    assert len(grids(data)) == chips
    page = render_map(data)
    assert ("Chip 2, which would be needed" in page) == (chips > 1)
    assert ("4 further chips would be needed and are not drawn" in page) == (chips == 8)


def test_a_chip_without_cores_has_no_map() -> None:
    page = render_map(placement(chip_cores=0))
    assert "<svg" not in page
    assert "12\u202f345" in page


def test_layers_beyond_the_colours_begin_again() -> None:
    names = tuple(f"layer{i}" for i in range(11))
    page = render_map(placement(*(core(i, name, 0.3) for i, name in enumerate(names)), layers=names))
    assert page.count('<rect class="l1"') == 2
    assert ">11</text>" in page


def test_names_are_escaped_and_nothing_is_loaded() -> None:
    nasty = "<script>alert(1)</script>"
    data = placement(core(0, nasty, 0.5), layers=(nasty, "b"))
    data["model"] = data["title"] = nasty
    data["issues"] = [{"text": nasty, "fatal": True}, {"text": "a remark", "fatal": False}]
    page = render_map(data)
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="', page)


def test_what_is_too_much_is_marked() -> None:
    page = render_map(placement(core(0, "a", 0.5)))
    assert 'class="bad">9\u202fKiB' in page
    assert "secondary" in page


def test_the_data_lie_beside_the_page(tmp_path: Path) -> None:
    data = placement(core(0, "a", 0.5))
    assert write_map(tmp_path / "out", data) == tmp_path / "out" / "map.html"
    assert json.loads((tmp_path / "out" / "map.json").read_text()) == data
    assert (tmp_path / "out" / "map.html").read_text() == render_map(data)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "bits", "–"), (7, "", "7"), (0, "bits", "0\u202fB"), (8192, "bits", "1\u202fKiB"),
        (1048576, "bits", "128\u202fKiB"), (2**20, "bytes", "1\u202fMiB"), (2**31, "bytes", "2048\u202fMiB"),
    ],
)  # fmt: skip
def test_quantities(value: int | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text
