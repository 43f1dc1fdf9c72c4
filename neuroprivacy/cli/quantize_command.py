"""`neuroprivacy quantize`: quantization-aware training in a chip's integers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.lowering import WeightBits as WidthParameter
from neuroprivacy.cli.output import percent, progress_bars, show

if TYPE_CHECKING:
    from neuroprivacy.kernels.formats import WeightBits


@click.command("quantize")
@click.argument("snn", type=options.FILE)
@click.option("--dataset", required=True, help="Data set to train on.")
@click.option("--weight-bits", type=WidthParameter(), required=True, help="2 ... 8 or ternary.")
@options.target
@click.option(
    "--populations",
    type=options.COUNT,
    default=4,
    show_default=True,
    help="Largest number of populations of a layer, each with a weight scale; export with as many.",
)
@click.option(
    "--calibration-samples",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="Training images that calibrate the start; 0 rounds each layer by itself.",
)
@options.out("runs/quantized")
@click.option("--epochs", type=options.COUNT, default=1, show_default=True)
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), default=5e-4, show_default=True)
@click.option("--batch-size", type=options.COUNT, default=64, show_default=True)
@options.data_root
@options.seed
@options.threads
@options.device
@options.resume
@options.as_json
def command(
    snn: Path, dataset: str, weight_bits: WeightBits, target: str, populations: int, calibration_samples: int,
    out: Path, epochs: int, lr: float, batch_size: int, data_root: Path | None, seed: int, threads: int, device: str,
    resume: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train SNN on with quantized weights and the integer neurons of the target."""
    from neuroprivacy.core.provenance import provenance
    from neuroprivacy.data import load_dataset
    from neuroprivacy.networks import check_device, load_checkpoint, save_checkpoint
    from neuroprivacy.training import FitSettings
    from neuroprivacy.training.fit import discard_state
    from neuroprivacy.training.quantize import train_quantized

    check_device(device)
    data = load_dataset(dataset, data_root=data_root)
    with progress_bars() as bars:
        made = train_quantized(
            load_checkpoint(snn).spiking, dataset=data, bits=weight_bits, target=target, populations=populations,
            calibration_samples=calibration_samples, state_folder=out, resume=resume, device=device,
            settings=FitSettings(epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, threads=threads),
            progress=bars("quantize"),
        )  # fmt: skip
    chosen = {"populations": populations, "calibration_samples": calibration_samples}
    info = provenance(
        command=f"quantize {dataset}", seed=seed, threads=threads, dataset=data.name, accuracy=made.accuracy
    )
    save_checkpoint(made.network, out, info=chosen | info)
    discard_state(out)
    result = {
        "model": str(out), "accuracy": made.accuracy, "accuracy_before_training": made.accuracy_before,
        "weight_bits": weight_bits, "target": target, "seed": seed, **chosen,
    }  # fmt: skip
    before, after = percent(made.accuracy_before), percent(made.accuracy)
    text = f"accuracy {after} in {target}'s integers ({before} before training), written to {out}"
    show(result, as_json=as_json, text=text)
