"""`neuroprivacy report`: report.html from the report.json of a run."""

from __future__ import annotations

from pathlib import Path

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import show


@click.command("report")
@click.argument("folder", type=options.FOLDER)
@options.as_json
def command(folder: Path, as_json: bool) -> None:
    """Write FOLDER/report.html again from FOLDER/report.json."""
    from neuroprivacy.reporting import load_report, write_report

    path = write_report(folder, load_report(folder))
    show({"report": str(path)}, as_json=as_json, text=f"written: {path}")
