"""`neuroprivacy report`: report.html from the report.json of a run."""

from __future__ import annotations

from pathlib import Path

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import show


@click.command("report")
@click.argument("folders", type=options.FOLDER, nargs=-1, required=True, metavar="RUN...")
@options.as_json
def command(folders: tuple[Path, ...], as_json: bool) -> None:
    """Write RUN/report.html again from RUN/report.json."""
    from neuroprivacy.reporting import report

    pages = [str(path) for path in report(*folders)]
    result = {"report": pages[0]} if len(pages) == 1 else {"reports": pages}
    show(result, as_json=as_json, text="\n".join(f"written: {path}" for path in pages))
