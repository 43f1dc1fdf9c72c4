"""Trains the networks of this folder: `python hw_tests/models/train.py digits|mnist`.

mnist needs the data set (NEUROPRIVACY_DATA) and nine minutes on one core; it is the network of
docs/results/precision.md.
"""

import sys
import tempfile
from pathlib import Path

import neuroprivacy as npv
from neuroprivacy.experiments.precision import measure
from neuroprivacy.networks import load_checkpoint, model_spec, save_checkpoint, set_threads
from neuroprivacy.training import FitSettings, accuracy

HERE = Path(__file__).parent


def digits() -> None:
    """A small spiking convnet, small enough for 16 KB of RAM."""
    data = npv.load_dataset("digits")
    spec = model_spec(
        "convnet", input_shape=data.sample_shape, classes=data.num_classes, width=0.5, hidden=(32,), bias=True
    )
    settings = FitSettings(epochs=30, batch_size=32, lr=3e-3, threads=1)
    net = npv.train(spec, dataset=data, settings=settings, spiking={"coding": "direct", "steps": 8, "reset": "hard"})
    save_checkpoint(net, HERE / "digits-convnet", info={"accuracy": accuracy(net, data.test_images, data.test_labels)})


def mnist() -> None:
    """The convnet of docs/results/precision.md."""
    with tempfile.TemporaryDirectory() as folder:
        measure("mnist", reset="hard", seed=0, folder=Path(folder), data_root=None, ways=())
        save_checkpoint(load_checkpoint(Path(folder) / "float").net, HERE / "mnist-convnet")


if __name__ == "__main__":
    set_threads(1)
    {"digits": digits, "mnist": mnist}[sys.argv[1]]()
