"""`neuroprivacy synthesize`: class-impression images from an ANN."""

from __future__ import annotations

from pathlib import Path

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import progress_bars, show


@click.command("synthesize")
@click.argument("ann", type=options.FILE)
@options.out("runs/synthetic")
@click.option("--count", default=2000, show_default=True, help="Images in all.")
@click.option(
    "--iterations",
    "--opt-steps",
    "iterations",
    type=options.COUNT,
    default=120,
    show_default=True,
    help="Of the optimiser.",
)
@options.seed
@options.device
@options.as_json
def command(ann: Path, out: Path, count: int, iterations: int, seed: int, device: str, as_json: bool) -> None:
    """Make images from the network in ANN alone; no data is read."""
    from neuroprivacy.networks import check_device, load_checkpoint
    from neuroprivacy.networks.checkpoint import ann_spec
    from neuroprivacy.synthesis.class_impressions import SynthesisSettings, synthesize

    check_device(device)
    net, spec = load_checkpoint(ann).ann, ann_spec(ann)
    settings = SynthesisSettings(
        count=count, iterations=iterations, seed=seed, jitter=1 if spec.input_shape[-1] < 16 else 2
    )
    with progress_bars() as bars:
        made = synthesize(
            net, input_shape=spec.input_shape, settings=settings, device=device, progress=bars("synthesize")
        )
    made.save(out)
    result = {"samples": str(out), "count": len(made.images), "mean": float(made.images.mean()), "seed": seed}
    show(result, as_json=as_json, text=f"{len(made.images)} images of {spec.input_shape}, written to {out}")
