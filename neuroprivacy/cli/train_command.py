"""`neuroprivacy train`: an ANN, or a spiking network directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import percent, progress_bars, show


@click.command("train")
@click.option("--dataset", required=True, help="digits, mnist, fashion-mnist, cifar-10, ...")
@click.option("--model", "family", required=True, help="mlp, convnet, vgg5, vgg9, vgg11, vgg16.")
@options.out("runs/ann")
@options.data_root
@options.download
@click.option("--epochs", type=int, help="Default depends on the data set.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True))
@click.option("--batch-size", type=int)
@click.option("--width", default=1.0, show_default=True, help="Multiplies the channels.")
@click.option("--bias", is_flag=True)
@click.option("--batch-norm", is_flag=True)
@click.option("--signed-input", is_flag=True, help="The network sees 2x - 1, for poisson-signed coding.")
@click.option("--spiking", is_flag=True, help="Train a spiking network by backpropagation through time.")
@click.option("--surrogate", default="privatesnn", show_default=True)
@click.option("--beta", default=1.0, show_default=True, help="Decay factor of the membrane in a time step.")
@options.reset
@click.option(
    "--coding", type=click.Choice(["poisson", "poisson-signed", "direct"]), default="direct", show_default=True
)
@click.option("--schedule", type=click.Choice(["ideal", "chip"]), default="ideal", show_default=True)
@options.time_steps
@options.seed
@options.threads
@options.device
@options.resume
@options.as_json
def command(
    dataset: str, family: str, out: Path, data_root: Path | None, download: bool, epochs: int | None,
    lr: float | None, batch_size: int | None, width: float, bias: bool, batch_norm: bool, signed_input: bool,
    spiking: bool, surrogate: str, beta: float, reset: Any, coding: Any, schedule: Any, time_steps: int, seed: int,
    threads: int, device: str, resume: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train a network on a data set and write it to --out."""
    from neuroprivacy.cli.fields import refuse_spiking_options
    from neuroprivacy.core.provenance import provenance
    from neuroprivacy.data import load_dataset
    from neuroprivacy.experiments.presets import default_training
    from neuroprivacy.networks import SpikingSpec, check_device, model_spec, save_checkpoint
    from neuroprivacy.training import accuracy, train
    from neuroprivacy.training.fit import discard_state

    check_device(device)
    if not spiking:
        refuse_spiking_options()
    data = load_dataset(dataset, data_root=data_root, download=download)
    spec = model_spec(
        family, input_shape=data.sample_shape, classes=data.num_classes, width=width, bias=bias,
        batch_norm=batch_norm, signed_input=signed_input,
    )  # fmt: skip
    settings = default_training(data.name, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, threads=threads)
    chosen = SpikingSpec(
        beta=beta, reset=reset, coding=coding, time_steps=time_steps, surrogate=surrogate, schedule=schedule
    )
    with progress_bars() as bars:
        net = train(
            spec, dataset=data, settings=settings, spiking=chosen if spiking else None, state_folder=out,
            resume=resume, device=device, progress=bars("train"),
        )  # fmt: skip
    right = accuracy(net, data.test_images, data.test_labels)
    info = provenance(
        command=f"train {dataset} {family}", seed=seed, threads=threads, dataset=data.name, accuracy=right
    )
    save_checkpoint(net, out, spec=spec, info=info)
    discard_state(out)
    result = {"model": str(out), "accuracy": right, "test_samples": len(data.test_labels), "seed": seed}
    text = f"accuracy {percent(right)} of {len(data.test_labels)} test samples, written to {out}"
    show(result, as_json=as_json, text=text)
