"""`target check`: the map, the table, the exit code."""

import json
from pathlib import Path

import pytest


def test_a_network_that_fits(snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", snn, "--target", "loihi2", "--out", tmp_path / "map")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("It fits loihi2 on 2 cores.\n")
    for word in ("axons in", "delay slots", "secondary", "estimate"):
        assert word in ended.out
    page = (tmp_path / "map" / "map.html").read_text()
    assert page.count('<rect class="core') == 128
    assert "<script" not in page
    assert json.loads((tmp_path / "map" / "map.json").read_text())["fits"]


@pytest.mark.parametrize("target", ["loihi2", "int8"])
def test_json(target: str, snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", snn, "--target", target, "--out", tmp_path / "map", "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["target"], ended.json["fits"]) == (target, True)
    assert len(ended.json["cores"]) == (2 if target == "loihi2" else 0)


def test_what_the_arithmetic_refuses_is_still_counted(soft_snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", soft_snn, "--target", "loihi2", "--out", tmp_path / "map", "--json")
    assert ended.code == 1
    assert "the soft reset does not exist on loihi2" in ended.err
    assert not ended.json["fits"]
    assert len(ended.json["cores"]) == 2


def test_graded_input_is_more_than_loihi1_takes(snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", snn, "--target", "loihi1", "--out", tmp_path / "map")
    assert ended.code == 1
    assert "an input value (255) exceeds 0 ... 1" in ended.err
    assert "loihi1 refuses its arithmetic" in ended.out


def test_a_network_that_does_not_fit(snn: Path, tmp_path: Path, cli) -> None:
    ended = cli("target", "check", snn, "--target", "xylo", "--out", tmp_path / "map")
    assert ended.code == 1
    assert "input channels (64) exceeds 16" in ended.err
    assert "Does not fit" in (tmp_path / "map" / "map.html").read_text()


def test_the_same_network_gives_the_same_page(snn: Path, tmp_path: Path, cli) -> None:
    for name in ("a", "b"):
        cli("target", "check", snn, "--out", tmp_path / name)
    assert (tmp_path / "a" / "map.html").read_bytes() == (tmp_path / "b" / "map.html").read_bytes()


def test_an_unknown_target(snn: Path, cli) -> None:
    assert cli("target", "check", snn, "--target", "loihi9").code == 2
