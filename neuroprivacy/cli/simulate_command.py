"""`neuroprivacy simulate`: run an exported network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import percent, progress_bars, show


@click.command("simulate")
@click.argument("folder", type=options.FOLDER)
@click.option("--dataset", help="Encode and run the test split of a data set.")
@click.option("--input", "source", type=options.FILE, help="npz with `spikes` and optionally `labels`.")
@click.option("--out", type=options.FILE, help="result.npz to write.")
@click.option("--samples", type=options.COUNT, help="Only the first so many.")
@click.option("--engine", type=click.Choice(["local", "ray"]), help="Run --dataset in shards, over processes or Ray.")
@click.option("--workers", type=options.COUNT, default=2, show_default=True, help="Of --engine.")
@click.option("--resume", is_flag=True, help="Take up the shards that an interrupted run left in FOLDER/shards.")
@options.data_root
@options.as_json
def command(
    folder: Path, dataset: str | None, source: Path | None, out: Path | None, samples: int | None,
    engine: Any, workers: int, resume: bool, data_root: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Run the network that `export` wrote to FOLDER, on a data set or on spikes."""
    from neuroprivacy.errors import ConfigurationError
    from neuroprivacy.exported import Shards, open_artifact, run_dataset, run_spikes, save_result

    if (dataset is None) == (source is None):
        raise ConfigurationError("simulate: give either --dataset or --input")
    if (engine is not None or resume) and dataset is None:
        raise ConfigurationError("simulate: --engine and --resume are for --dataset")
    artifact = open_artifact(folder)
    shards = Shards(folder=folder / "shards", engine=engine or "local", workers=workers, resume=resume)
    with progress_bars() as bars:
        if dataset is not None:
            from neuroprivacy.data import load_dataset

            data = load_dataset(dataset, data_root=data_root)
            chosen = shards if engine is not None or resume else None
            result = run_dataset(artifact, data, samples=samples, shards=chosen, progress=bars("simulate"))
        else:
            result = run_spikes(artifact, source or Path(), samples=samples, progress=bars("simulate"))
    if out is not None:
        save_result(out, result)
    table = result.counts.totals()
    printed = {
        "samples": len(result.prediction), "accuracy": result.accuracy, "backend": artifact.backend, "counts": table,
        "out": str(out) if out else None,
    }  # fmt: skip
    right = f", accuracy {percent(result.accuracy)}" if result.accuracy is not None else ""
    show(printed, as_json=as_json, text=f"{len(result.prediction)} samples on {artifact.backend}{right}")
