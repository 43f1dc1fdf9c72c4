"""`neuroprivacy target check`: place a network on the cores of a chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.lowering import lower_options, lowering
from neuroprivacy.cli.output import show, table

if TYPE_CHECKING:
    from neuroprivacy.mapping import Placement


@click.command("check")
@click.argument("model", type=options.FILE)
@options.out("runs/target-check")
@lowering
@options.as_json
def command(model: Path, out: Path, target: str, choices: dict[str, Any], as_json: bool) -> None:
    """Place MODEL on the cores of a chip and list what does not fit; writes map.html and map.json.

    MODEL may also be a folder that `export` wrote: its integers are counted as they are.

    Exit code 1 if a published or chosen limit is exceeded. An estimate, not the result of a vendor's compiler.
    """
    from neuroprivacy.core.errors import CheckFailed, raise_fatal
    from neuroprivacy.experiments.target_check import check_target
    from neuroprivacy.export.model import model_graph
    from neuroprivacy.reporting import write_map
    from neuroprivacy.runtime.exported import is_exported, open_artifact

    if is_exported(model):
        placed = check_target(open_artifact(model).program, target=target)
    else:
        graph = model_graph(model)
        placed = check_target(graph, target=target, options=lower_options(graph, choices))
    described = {**placed.describe(), "model": model.resolve().name}
    page = write_map(out, described)
    show(described, as_json=as_json, text=f"{_text(placed)}\n\nwritten: {page}")
    raise_fatal(CheckFailed, placed.issues)


def _text(placed: Placement) -> str:
    """Format the placement for a terminal."""
    names = ["name", "cores", "neurons", "synapses", "weights", "memory_bits", "fan_in", "fan_out", "axons_in",
             "axons_out", "delay_slots"]  # fmt: skip
    layers = [
        [f"{layer.memory_bits / 8192:.1f}" if name == "memory_bits" else getattr(layer, name) for name in names]
        for layer in placed.layers
    ]
    header = ["layer", "cores", "neurons", "synapses", "weights", "memory KiB", "fan-in", "fan-out", "axons in",
              "axons out", "delay slots"]  # fmt: skip
    uses = [
        [use.name + (f" ({use.unit})" if use.unit else ""), use.used, use.limit if use.limit is not None else "-",
         f"{100 * use.used / use.limit:.1f} %" if use.limit else "-", use.standing or "-"]
        for use in placed.uses
    ]  # fmt: skip
    issues = [f"{'does not fit' if issue.fatal else 'warning'}: {issue}" for issue in placed.issues]
    parts = [
        placed.sentence(),
        table(layers, header=header),
        table(uses, header=["in all", "used", "limit", "share", "standing"]),
        *(["\n".join(issues)] if issues else []),
        "\n".join(placed.notes),
    ]
    return "\n\n".join(parts)
