"""`neuroprivacy energy`: energy per inference of an exported network."""

from __future__ import annotations

from pathlib import Path

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import progress_bars, show, table


@click.command("energy")
@click.argument("folder", type=options.FOLDER)
@click.option("--dataset", required=True, help="Data set whose test split is run.")
@options.samples
@options.data_root
@options.as_json
def command(folder: Path, dataset: str, samples: int | None, data_root: Path | None, as_json: bool) -> None:
    """Count operations on a data set; energy of SNN and ANN under several cost models."""
    from neuroprivacy.data import load_dataset
    from neuroprivacy.energy import measure_energy
    from neuroprivacy.runtime.exported import open_artifact, run_dataset

    artifact = open_artifact(folder)
    data = load_dataset(dataset, data_root=data_root)
    with progress_bars() as bars:
        done = run_dataset(artifact, data, samples=samples, progress=bars("energy"))
    report = measure_energy(artifact.program, counts=done.counts, samples=len(done.prediction))
    values = report.to_dict()
    rows = [
        [m["title"], f"{m['ann_j'] * 1e9:.3f}", f"{m['snn_j'] * 1e9:.3f}", f"{m['ratio']:.2f}" if m["ratio"] else "-"]
        for m in values["models"]
    ]
    text = table(rows, header=["cost model", "ANN nJ", "SNN nJ", "ANN / SNN"])
    show(values, as_json=as_json, text=text + "\n\n" + "\n".join(f"- {note}" for note in values["notes"]))
