"""`neuroprivacy quantize`: train a spiking network on at a chip's weight width, in the chip's integers."""

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
@click.option("--dataset", required=True, help="Whose training split it is trained on.")
@click.option("--weight-bits", type=WidthParameter(), required=True, help="2 ... 8 or ternary.")
@options.target
@click.option(
    "--populations",
    type=options.COUNT,
    default=4,
    show_default=True,
    help="Most populations that a layer may become, each with a scale of its own; export with as many.",
)
@click.option(
    "--calibration-samples",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="Training images that choose the integers that training begins with; 0 rounds each layer by itself.",
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
    """Train SNN on with rounded weights and the target's integer neurons: what is trained is what is deployed."""
    from neuroprivacy.core.provenance import provenance
    from neuroprivacy.data import load_dataset
    from neuroprivacy.networks import check_device, load_checkpoint, quantize_weights, save_checkpoint
    from neuroprivacy.training import FitSettings, accuracy, train
    from neuroprivacy.training.fit import discard_state
    from neuroprivacy.training.quantized_start import quantized_start

    check_device(device)
    data = load_dataset(dataset, data_root=data_root)
    trained = load_checkpoint(snn).spiking
    if calibration_samples:
        start = quantized_start(
            trained, bits=weight_bits, target=target, populations=populations,
            images=data.train_images[:calibration_samples],
        )  # fmt: skip
    else:
        start = quantize_weights(trained, weight_bits, state_target=target, populations=populations)
    settings = FitSettings(epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, threads=threads)
    with progress_bars() as bars:
        net = train(
            start, dataset=data, settings=settings, state_folder=out, resume=resume, device=device,
            progress=bars("quantize"),
        )  # fmt: skip
    before, after = (accuracy(n, data.test_images, data.test_labels) for n in (start, net))
    info = {"populations": populations, "calibration_samples": calibration_samples} | provenance(
        command=f"quantize {dataset}", seed=seed, threads=threads, dataset=data.name, accuracy=after
    )
    save_checkpoint(net, out, info=info)
    discard_state(out)
    result = {
        "model": str(out), "accuracy": after, "accuracy_before_training": before, "weight_bits": weight_bits,
        "target": target, "seed": seed, "populations": populations, "calibration_samples": calibration_samples,
    }  # fmt: skip
    text = f"accuracy {percent(after)} in {target}'s integers ({percent(before)} before training), kept in {out}"
    show(result, as_json=as_json, text=text)
