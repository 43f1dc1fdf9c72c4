"""Reports on disk: `report.json` is the report, `report.html` a view of it, made again at any time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.core.storage import read_json, write_json, write_text
from neuroprivacy.reporting.render import render_report
from neuroprivacy.reporting.schema import check_report

DATA_NAME = "report.json"
PAGE_NAME = "report.html"


def write_report(folder: Path, data: Mapping[str, Any]) -> Path:
    """Write `report.json` and `report.html` into `folder`, each in one step; returns the page's path.

    The page is made first, so that nothing is written of a report that cannot be shown.

    Raises:
        ConfigurationError: `data` is not a report.
    """
    page = render_report(data)
    write_json(folder / DATA_NAME, dict(data))
    write_text(folder / PAGE_NAME, page)
    return folder / PAGE_NAME


def report(folder: Path, *more: Path) -> tuple[Path, ...]:
    """Write `report.html` again from the `report.json` of run folders; returns the paths of the pages.

    Raises:
        BadFile: a folder has no report, or a damaged one.
    """
    return tuple(write_report(each, load_report(each)) for each in (folder, *more))


def load_report(folder: Path) -> dict[str, Any]:
    """The data of a run folder's `report.json`, checked.

    Raises:
        BadFile: it is missing, damaged or not a report; all faults are named.
    """
    path = Path(folder) / DATA_NAME
    data = read_json(path)
    try:
        check_report(data)
    except ConfigurationError as error:
        raise BadFile(path, f"is not a report ({error})", hint="run the command again") from error
    return data
