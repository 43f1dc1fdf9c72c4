"""`neuroprivacy target`: list and show targets; check how a network lies on a chip."""

from __future__ import annotations

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import show, table
from neuroprivacy.cli.target_check import command as check


@click.group("target")
def command() -> None:
    """List and show targets; check how a network lies on a chip."""


command.add_command(check)


@command.command("list")
@options.as_json
def list_targets(as_json: bool) -> None:
    """List the shipped targets."""
    from neuroprivacy.targets.spec import load_target, target_names

    found = {name: load_target(name).title for name in target_names()}
    show(found, as_json=as_json, text=table(list(found.items()), header=["target", "description"]))


@command.command("show")
@click.argument("name")
@options.as_json
def show_target(name: str, as_json: bool) -> None:
    """Every number of target NAME, with its source."""
    from neuroprivacy.targets.spec import load_target

    values = load_target(name).to_dict()
    sources = values["sources"]
    rows = []
    for field, value in values.items():
        parts = value.items() if field in ("limits", "energy") else [("", value)]
        for part, number in parts if field != "sources" else []:
            key = f"{field}.{part}" if part else field
            source = sources.get(key, {})
            rows.append(
                [key, number if number is not None else "-", source.get("standing", ""), source.get("source", "")]
            )
    show(values, as_json=as_json, text=table(rows, header=["field", "value", "standing", "source"]))
