"""Output of commands: results to stdout (text or one JSON object), progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from neuroprivacy.core.progress import Progress, silent


def show(result: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """Print a result: one JSON object, or text for people."""
    click.echo(json.dumps(result, sort_keys=True) if as_json else text)


def table(rows: Sequence[Sequence[object]], *, header: Sequence[str]) -> str:
    """Format rows as plain aligned columns."""
    cells = [list(header), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Progress]]:
    """A bar for each stage on stderr; nothing if that is no terminal, or with --quiet."""
    context = click.get_current_context(silent=True)
    quiet = bool(context and context.obj and context.obj.get("quiet"))
    if quiet or not sys.stderr.isatty():
        yield lambda name: silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:

        def stage(name: str) -> Progress:
            """Show a progress bar for one stage."""
            task = bars.add_task(name, text="")

            def advance(done: int, total: int, text: str) -> None:
                """Update the progress bar."""
                bars.update(task, completed=done, total=total, text=text)

            return advance

        yield stage


def percent(fraction: float) -> str:
    """A fraction as a percentage with two digits."""
    return f"{100 * fraction:.2f} %"
