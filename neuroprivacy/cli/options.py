"""Options that several commands share, each in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path)

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
seed = click.option("--seed", default=0, show_default=True, help="Of everything random; recorded.")
resume = click.option("--resume", is_flag=True, help="Go on from what an interrupted run left in --out.")
threads = click.option("--threads", default=1, show_default=True, help="Torch threads; they change floating-point results.")
device = click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
data_root = click.option("--data-root", type=FOLDER, help="Folder of data sets; else NEUROPRIVACY_DATA, else the cache.")
download = click.option("--download", is_flag=True, help="Fetch the data set if it is missing.")
target = click.option("--target", default="loihi2", show_default=True, help="Name, or a .toml file.")
steps = click.option("--steps", default=16, show_default=True, help="Time steps T.")


def out(default: str) -> Any:
    """The output folder."""
    return click.option("--out", type=FOLDER, default=Path(default), show_default=True, help="Folder to write.")


def check_device(name: str) -> str:
    """The device, if this machine has it.

    Raises:
        ConfigurationError: it has not.
    """
    import torch

    from neuroprivacy.errors import ConfigurationError

    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("device: no CUDA device is found; use --device cpu")
    return name
