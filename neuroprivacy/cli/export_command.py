"""`neuroprivacy export`: a network for a backend, or as a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.lowering import lower_options, lowering
from neuroprivacy.cli.output import show


@click.command("export")
@click.argument("model", type=options.FILE)
@click.option("--backend", required=True, help="fixedpoint, lava, c99, reference, ..., or nir for a .nir file.")
@options.out("runs/exported")
@lowering
@options.as_json
def command(model: Path, backend: str, out: Path, target: str, choices: dict[str, Any], as_json: bool) -> None:
    """Lower MODEL (a checkpoint folder or a .nir file) to the target's integers and write it to --out."""
    from neuroprivacy.core.provenance import versions
    from neuroprivacy.export.model import model_graph
    from neuroprivacy.graph import save_nir
    from neuroprivacy.lowering import lower
    from neuroprivacy.runtime.exported import write_artifact

    graph = model_graph(model)
    if backend == "nir":
        path = save_nir(graph, out / "network.nir")
        show({"file": str(path)}, as_json=as_json, text=f"written: {path}")
        return
    chosen = lower_options(graph, choices)
    lowered = lower(graph, target=target, options=chosen, provenance={"versions": versions()})
    artifact = write_artifact(lowered.program, backend=backend, folder=out)
    save_nir(graph, out / "network.nir")
    diagnostics = [str(issue) for issue in lowered.diagnostics]
    result = {
        "folder": str(artifact.folder), "backend": backend, "target": lowered.program.target.name,
        "latency": lowered.program.latency, "content_hash": lowered.program.content_hash, "diagnostics": diagnostics,
    }  # fmt: skip
    lines = [f"written: {artifact.folder} ({backend}, {result['target']}, latency {result['latency']} steps)"]
    show(result, as_json=as_json, text="\n".join(lines + [f"diagnostic: {issue}" for issue in diagnostics]))
