"""`neuroprivacy target`: list, show, and check how a network lies on a chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.lowering import lower_options, lowering
from neuroprivacy.cli.models import load_graph
from neuroprivacy.cli.output import show, table

if TYPE_CHECKING:
    from neuroprivacy.errors import Issue
    from neuroprivacy.mapping import Placement
    from neuroprivacy.program import Program
    from neuroprivacy.target import TargetSpec


@click.group("target")
def command() -> None:
    """List and show targets; check how a network lies on a chip."""


@command.command("list")
@options.as_json
def list_targets(as_json: bool) -> None:
    """Shipped targets."""
    from neuroprivacy.target import load_target, target_names

    found = {name: load_target(name).title for name in target_names()}
    show(found, as_json=as_json, text=table(list(found.items()), header=["target", "what it is"]))


@command.command("show")
@click.argument("name")
@options.as_json
def show_target(name: str, as_json: bool) -> None:
    """Every number of target NAME, with where it comes from."""
    from neuroprivacy.target import load_target

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


@command.command("check")
@click.argument("model", type=options.FILE)
@options.out("runs/target-check")
@lowering
@options.as_json
def check_target(model: Path, out: Path, target: str, choices: dict[str, Any], as_json: bool) -> None:
    """Place MODEL on the cores of a chip and say what does not fit; writes map.html and map.json.

    Ends with exit code 1 if a published or chosen limit is exceeded. An estimate, not the work of a vendor's compiler.
    """
    from neuroprivacy.errors import CheckFailed, raise_fatal
    from neuroprivacy.mapping import place
    from neuroprivacy.report import write_map
    from neuroprivacy.target import load_target

    spec = load_target(target)
    program, refusals = _program(load_graph(model), spec, choices)
    placed = place(program, target=spec, refusals=refusals)
    described = {**placed.describe(), "model": model.resolve().name}
    page = write_map(out, described)
    show(described, as_json=as_json, text=f"{_text(placed)}\n\nwritten: {page}")
    raise_fatal(CheckFailed, placed.issues)


def _program(graph: Any, spec: TargetSpec, choices: dict[str, Any]) -> tuple[Program, tuple[Issue, ...]]:
    """The network in the chip's integers, however large; what its arithmetic refuses is counted in `int8`'s instead."""
    from dataclasses import replace

    from neuroprivacy.errors import DoesNotFit, Issue, OutOfRange, UnsupportedNode
    from neuroprivacy.lower import lower
    from neuroprivacy.target import Limits

    chosen = lower_options(graph, choices)
    try:
        # Without limits, for `lower` refuses what is too large and `place` is to say by how much.
        bare = replace(spec, limits=Limits(), check_only=False)
        return lower(graph, target=bare, options=chosen).program, ()
    except (DoesNotFit, OutOfRange, UnsupportedNode) as error:
        try:
            program = lower(graph, target="int8", options=replace(chosen, strict=False)).program
        except (DoesNotFit, OutOfRange, UnsupportedNode):
            raise error from None
        refused = error.issues or (Issue(where="network", what=str(error)),)
        counted = f"{spec.name} refuses its arithmetic; delays and weight widths are counted as int8 has them"
        return program, (*refused, Issue(where="network", what=counted, fatal=False))


def _text(placed: Placement) -> str:
    """The placement for a terminal."""
    layers = [
        [layer.name, layer.cores, layer.neurons, layer.synapses, layer.weights, f"{layer.memory_bits / 8192:.1f}",
         layer.fan_in, layer.fan_out, layer.axons_in, layer.axons_out, layer.delay_slots]
        for layer in placed.layers
    ]  # fmt: skip
    header = ["layer", "cores", "neurons", "synapses", "weights", "memory KiB", "fan-in", "fan-out", "axons in",
              "axons out", "delay slots"]  # fmt: skip
    uses = [
        [use.name + (f" ({use.unit})" if use.unit else ""), use.used, use.limit if use.limit is not None else "-",
         f"{100 * use.used / use.limit:.1f} %" if use.limit else "-", use.standing or "-"]
        for use in placed.uses
    ]  # fmt: skip
    issues = [f"{'does not fit' if issue.fatal else 'remark'}: {issue}" for issue in placed.issues]
    parts = [
        placed.sentence(),
        table(layers, header=header),
        table(uses, header=["in all", "used", "limit", "share", "standing"]),
        *(["\n".join(issues)] if issues else []),
        "\n".join(placed.notes),
    ]
    return "\n\n".join(parts)
