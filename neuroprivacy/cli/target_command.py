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
    from neuroprivacy.core.errors import Issue
    from neuroprivacy.lowering import Lowered
    from neuroprivacy.mapping import Placement
    from neuroprivacy.program import Program
    from neuroprivacy.targets.spec import TargetSpec


@click.group("target")
def command() -> None:
    """List and show targets; check how a network lies on a chip."""


@command.command("list")
@options.as_json
def list_targets(as_json: bool) -> None:
    """Shipped targets."""
    from neuroprivacy.targets.spec import load_target, target_names

    found = {name: load_target(name).title for name in target_names()}
    show(found, as_json=as_json, text=table(list(found.items()), header=["target", "what it is"]))


@command.command("show")
@click.argument("name")
@options.as_json
def show_target(name: str, as_json: bool) -> None:
    """Every number of target NAME, with where it comes from."""
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


@command.command("check")
@click.argument("model", type=options.FILE)
@options.out("runs/target-check")
@lowering
@options.as_json
def check_target(model: Path, out: Path, target: str, choices: dict[str, Any], as_json: bool) -> None:
    """Place MODEL on the cores of a chip and say what does not fit; writes map.html and map.json.

    MODEL may also be a folder that `export` wrote: its integers are counted as they are.

    Ends with exit code 1 if a published or chosen limit is exceeded. An estimate, not the work of a vendor's compiler.
    """
    from neuroprivacy.core.errors import CheckFailed, raise_fatal
    from neuroprivacy.mapping import place
    from neuroprivacy.reporting import write_map
    from neuroprivacy.targets.spec import load_target

    spec = load_target(target)
    if (model / "artifact.json").exists():
        from neuroprivacy.runtime.exported import open_artifact

        program = open_artifact(model).program
        refusals = _lowered_for(program, spec)
    else:
        program, refusals = _program(load_graph(model), spec, choices)
    placed = place(program, target=spec, refusals=refusals)
    described = {**placed.describe(), "model": model.resolve().name}
    page = write_map(out, described)
    show(described, as_json=as_json, text=f"{_text(placed)}\n\nwritten: {page}")
    raise_fatal(CheckFailed, placed.issues)


def _program(graph: Any, spec: TargetSpec, choices: dict[str, Any]) -> tuple[Program, tuple[Issue, ...]]:
    """The network in the chip's integers, however large; what its arithmetic refuses is counted in wider integers."""
    from dataclasses import replace

    from neuroprivacy.core.errors import DoesNotFit, Issue, OutOfRange, UnsupportedNode
    from neuroprivacy.lowering import lower
    from neuroprivacy.targets.spec import Limits, load_target

    chosen = lower_options(graph, choices)
    try:
        # Without limits, for `lower` refuses what is too large and `place` is to say by how much.
        lowered = lower(graph, target=replace(spec, limits=Limits(), check_only=False), options=chosen)
        return lowered.program, _leaks(lowered, spec)
    except (DoesNotFit, OutOfRange, UnsupportedNode) as error:
        wide = replace(
            load_target("int8"), name=spec.name, weight_bits=spec.weight_bits, current_bits=48, membrane_bits=48,
            activation_bits=48, message_bits=24, edge_delay_min=spec.edge_delay_min,
        )  # fmt: skip
        try:
            lowered = lower(graph, target=wide, options=replace(chosen, strict=False))
        except (DoesNotFit, OutOfRange, UnsupportedNode):
            raise error from None
        refused = error.issues or (Issue(where="network", what=str(error)),)
        counted = f"{spec.name} refuses its arithmetic; its layers are counted all the same"
        remark = Issue(where="network", what=counted, fatal=False)
        return lowered.program, (*refused, *_leaks(lowered, spec), remark)


def _lowered_for(program: Program, spec: TargetSpec) -> tuple[Issue, ...]:
    """A remark where an exported network has the integers of another chip."""
    from neuroprivacy.core.errors import Issue

    if program.target.name == spec.name:
        return ()
    what = f"was lowered for {program.target.name}; on {spec.name} its integers would be others"
    return (Issue(where="network", what=what, hint="check the model that it was exported from", fatal=False),)


def _leaks(lowered: Lowered, spec: TargetSpec) -> tuple[Issue, ...]:
    """Layers whose neurons leak, on a chip whose neurons do not."""
    from neuroprivacy.core.errors import Issue

    kept = {layer.name: float(layer.beta.min()) for layer in lowered.real_network.layers} if not spec.decay_bits else {}
    return tuple(
        Issue(
            where=name,
            what=f"neurons keep {share:.3g} of their membrane in a step, those of {spec.name} keep all of it",
            hint="train or convert the network with neurons that do not leak",
        )
        for name, share in kept.items()
        if share < 1
    )


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
