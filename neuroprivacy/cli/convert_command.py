"""`neuroprivacy convert`: an ANN becomes a spiking network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import show, table


@click.command("convert")
@click.argument("ann", type=options.FILE)
@click.option("--calibration", type=options.FILE, required=True, help="Folder of synthetic images.")
@options.out("runs/snn")
@click.option(
    "--method", type=click.Choice(["max", "percentile", "max-input", "matched"]), default="matched", show_default=True
)
@click.option("--percentile", default=99.7, show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="Multiplies the thresholds of all methods but matched.")
@options.time_steps
@options.reset
@click.option(
    "--coding", type=click.Choice(["poisson", "poisson-signed", "direct"]), default="direct", show_default=True
)
@click.option("--readout", type=click.Choice(["membrane", "spike_count"]), default="membrane", show_default=True)
@options.seed
@options.as_json
def command(
    ann: Path, calibration: Path, out: Path, method: Any, percentile: float, scale: float, time_steps: int, reset: Any,
    coding: Any, readout: Any, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Put spiking neurons in place of the activations of ANN and find their thresholds."""
    from neuroprivacy.conversion import ThresholdMethod, convert
    from neuroprivacy.networks import load_checkpoint, save_checkpoint
    from neuroprivacy.synthesis.class_impressions import load_synthetic

    chosen = ThresholdMethod(name=method, percentile=percentile, scale=scale)
    net = convert(
        load_checkpoint(ann).ann, calibration=load_synthetic(calibration).images, method=chosen, time_steps=time_steps,
        reset=reset, coding=coding, readout=readout, seed=seed,
    )  # fmt: skip
    save_checkpoint(net, out, info={"method": method, "seed": seed})
    thresholds = {name: float(neuron.threshold) for name, neuron in net.neurons().items()}
    text = table([[k, f"{v:.4g}"] for k, v in thresholds.items()], header=["layer", "threshold"])
    show(
        {"model": str(out), "thresholds": thresholds, "time_steps": time_steps},
        as_json=as_json,
        text=f"{text}\n\nwritten to {out}",
    )
