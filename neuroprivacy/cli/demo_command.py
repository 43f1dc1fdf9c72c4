"""`neuroprivacy demo`: the end-to-end pipeline on digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import percent, progress_bars, show, table


@click.command("demo")
@options.out("runs/demo")
@click.option("--dataset", default="digits", show_default=True, help="An image data set.")
@options.data_root
@click.option("--lava/--no-lava", default=True, show_default=True, help="Include Lava among the backends.")
@options.seed
@options.threads
@options.device
@options.resume
@options.as_json
def command(
    out: Path, dataset: str, data_root: Path | None, lava: bool, seed: int, threads: int, device: str, resume: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """From an ANN to the integers that Lava computes, with a report; offline on embedded digits."""
    from dataclasses import replace

    from neuroprivacy.data import load_dataset
    from neuroprivacy.experiments.deployment import run_deployment
    from neuroprivacy.experiments.presets import default_deployment
    from neuroprivacy.networks import check_device

    check_device(device)
    data = load_dataset(dataset, data_root=data_root)
    settings = default_deployment(data, seed=seed, threads=threads)
    settings = replace(settings, backends=("fixedpoint", "lava") if lava else ("fixedpoint",))
    line = f"neuroprivacy demo --dataset {dataset} --seed {seed} --threads {threads} --device {device}"
    line += "" if lava else " --no-lava"
    with progress_bars() as bars:
        report = run_deployment(
            data, settings=settings, folder=out, resume=resume, device=device, command=line, progress=bars
        )
    result = demo_result(report, out)
    stages = table([[k, percent(v)] for k, v in result["accuracy"].items()], header=["stage", "accuracy"])
    backends = table(
        [[k, v["samples"], "identical" if v["identical"] else "DIFFERENT"] for k, v in result["backends"].items()],
        header=["backend", "samples", "every spike, final u and v"],
    )
    text = f"{stages}\n\n{backends}\n\n{result['seconds']} s, report: {result['report']}"
    show(result, as_json=as_json, text=text)


def demo_result(report: dict[str, Any], out: Path) -> dict[str, Any]:
    """The object that `--json` prints."""
    return {
        "accuracy": {stage["name"]: stage["accuracy"] for stage in report["stages"]},
        "backends": {k: {"samples": v["samples"], "identical": v["identical"]} for k, v in report["backends"].items()},
        "energy": report["energy"],
        "prediction_changes": report["prediction_changes"],
        "seconds": report["timing"]["seconds"]["total"],
        "report": str(out / "report.html"),
    }
