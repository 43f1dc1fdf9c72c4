"""`neuroprivacy encrypt`: class encryption training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import progress_bars, show, table


@click.command("encrypt")
@click.argument("snn", type=options.FILE)
@click.option("--teacher", type=options.FILE, required=True, help="The ANN.")
@click.option("--samples", type=options.FILE, required=True, help="Folder of synthetic images.")
@options.out("runs/encrypted")
@click.option("--epochs", default=8, show_default=True)
@click.option("--lr", default=1e-4, show_default=True)
@click.option("--batch-size", default=50, show_default=True)
@click.option("--mix", default=0.7, show_default=True, help="m: weight of the distillation loss.")
@click.option("--temperature", default=20.0, show_default=True, help="tau of the distillation.")
@options.seed
@options.threads
@options.device
@options.resume
@options.as_json
def command(
    snn: Path, teacher: Path, samples: Path, out: Path, epochs: int, lr: float, batch_size: int, mix: float,
    temperature: float, seed: int, threads: int, device: str, resume: bool, as_json: bool,
) -> None:  # fmt: skip
    """Retrain SNN on synthetic images so that its weights are no longer the teacher's.

    This is PrivateSNN's "class encryption": obfuscation without a key. Whoever holds the chip holds all there is.
    """
    from neuroprivacy.encryption.class_encryption import EncryptionSettings, encrypt
    from neuroprivacy.networks import check_device, load_checkpoint, save_checkpoint
    from neuroprivacy.synthesis.class_impressions import load_synthetic
    from neuroprivacy.training.fit import discard_state

    check_device(device)
    base = EncryptionSettings(mix=mix, temperature=temperature)
    fit = replace(base.fit, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, threads=threads)
    with progress_bars() as bars:
        made = encrypt(
            load_checkpoint(snn).spiking, teacher=load_checkpoint(teacher).ann, images=load_synthetic(samples).images,
            settings=replace(base, fit=fit), state_folder=out, resume=resume, device=device, progress=bars("encrypt"),
        )  # fmt: skip
    info = {**made.describe(), "seed": seed}
    save_checkpoint(made.network, out, info=info)
    discard_state(out)
    rows = [[name, f"{w.relative_distance:.4f}", f"{w.cosine:.4f}"] for name, w in made.weights.items()]
    text = table(rows, header=["weights", "relative distance", "cosine"])
    show({"model": str(out), **info}, as_json=as_json, text=f"{text}\n\nwritten to {out}")
