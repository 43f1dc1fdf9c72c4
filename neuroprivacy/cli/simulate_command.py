"""`neuroprivacy simulate`: run an exported network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import percent, progress_bars, show


@click.command("simulate")
@click.argument("folders", type=options.FOLDER, nargs=-1, required=True, metavar="FOLDER...")
@options.dataset("Encode and run the test split of a data set.")
@options.source
@click.option("--out", type=options.FILE, help="result.npz to write; of several networks, a folder of them.")
@options.samples
@click.option("--engine", type=click.Choice(["local", "ray"]), help="Run --dataset in shards, over processes or Ray.")
@click.option("--workers", type=options.COUNT, default=2, show_default=True, help="Processes of --engine.")
@click.option("--resume", is_flag=True, help="Take up the shards that an interrupted run left in FOLDER/shards.")
@options.data_root
@options.as_json
def command(
    folders: tuple[Path, ...], dataset: str | None, source: Path | None, out: Path | None, samples: int | None,
    engine: Any, workers: int, resume: bool, data_root: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Run what `export` wrote to FOLDER on a data set or on spikes; several networks share the workers of --engine."""
    from neuroprivacy.core.errors import ConfigurationError
    from neuroprivacy.runtime.exported import Shards, open_artifact, result_paths, run_exported, save_result

    options.refuse_both("simulate", dataset, source)
    if (engine is not None or resume) and dataset is None:
        raise ConfigurationError("simulate: --engine and --resume are for --dataset")
    artifacts = [open_artifact(folder) for folder in folders]
    sharded = engine is not None or resume
    shards = Shards(engine=engine or "local", workers=workers, resume=resume) if sharded else None
    given = options.load(dataset, data_root) or source
    with progress_bars() as bars:
        results = run_exported(artifacts, given, samples=samples, shards=shards, progress=bars("simulate"))
    printed, lines = [], []
    for folder, artifact, result, written in zip(folders, artifacts, results, result_paths(out, folders), strict=True):
        if written is not None:
            save_result(written, result)
        accuracy = None if result.labels is None else result.accuracy()
        printed.append({
            "samples": len(result.readout), "accuracy": accuracy, "backend": artifact.backend,
            "counts": result.counts.totals(), "out": str(written) if written else None,
        })  # fmt: skip
        right = f", accuracy {percent(accuracy)}" if accuracy is not None else ""
        name = f"{folder}: " if len(folders) > 1 else ""
        lines.append(f"{name}{len(result.readout)} samples on {artifact.backend}{right}")
    several = {"runs": [{"folder": str(f), **each} for f, each in zip(folders, printed, strict=True)]}
    show(printed[0] if len(folders) == 1 else several, as_json=as_json, text="\n".join(lines))
