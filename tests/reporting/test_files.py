"""Reports on disk."""

from pathlib import Path
from typing import Any

import pytest

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.reporting import load_report, render_report, write_report


@pytest.mark.slow
def test_a_report_is_read_back_and_its_page_made_again(tmp_path: Path, data: dict[str, Any]) -> None:
    page = write_report(tmp_path / "run", data)
    assert page == tmp_path / "run" / "report.html"
    assert {path.name for path in page.parent.iterdir()} == {"report.html", "report.json"}
    loaded = load_report(page.parent)
    assert loaded == data
    assert render_report(loaded) == page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_writing_twice_gives_the_same_files(tmp_path: Path, data: dict[str, Any]) -> None:
    write_report(tmp_path, data)
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    write_report(tmp_path, data)
    assert before == [path.read_bytes() for path in sorted(tmp_path.iterdir())]


def test_nothing_is_written_of_what_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        write_report(tmp_path / "run", {"stages": [{}]})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"{", "is not valid JSON"),
        (b"\xff\xfe", "is not valid JSON"),
        (b"[1]", "holds a list"),
        (b'{"stages": [{"name": "ann", "accuracy": 2}]}', r"is not a report .*stages\.0\.accuracy"),
        (b'{"timing": {"train": NaN}}', "is not a report"),
        (b'{"energy": {"models": 3}}', r"energy\.total.*energy\.models"),
    ],
)
def test_a_damaged_report_is_named(tmp_path: Path, payload: bytes, text: str) -> None:
    (tmp_path / "report.json").write_bytes(payload)
    with pytest.raises(BadFile, match=text):
        load_report(tmp_path)


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"report\.json: cannot be read"):
        load_report(tmp_path)
