"""Checkpoints of formats 1 and 2 load and give the readouts that the code which wrote them computed.

`checkpoints/` was written by commit 67adbd6, the last one with `neuroprivacy.nets`, with this program:

    torch.manual_seed(7)
    x = (torch.rand(6, 5, 1, 8, 8) * 255).round() / 255
    model = model_spec("convnet", input_shape=(1, 8, 8), classes=3, hidden=(6,), width=0.2, bias=True)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.flat, self.act, self.one = nn.Flatten(), nn.ReLU(), nn.Linear(64, 6)
            self.two, self.end = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            x = self.act(self.one(self.flat(x)))
            return self.end(self.act(self.two(x) + x))

    arrays = {"x": x.numpy()}

    def keep(name, net, threshold=None):
        for neuron in net.neurons().values() if threshold else ():
            neuron.threshold.fill_(threshold)
        net = net.quantized(4, state_target="loihi2", populations=2) if name == "spiking-quantized" else net
        save_checkpoint(net.eval(), Path("checkpoints") / name)
        arrays[name] = net(x).readout.detach().numpy()

    leaky = SpikingSpec(model=model, beta=0.9, reset="soft", steps=6, surrogate="atan", readout="spike_count")
    keep("spiking", SpikingNet(leaky), 0.3)
    keep("spiking-chip", SpikingNet(SpikingSpec(model=model, steps=6, schedule="chip")), 0.4)
    keep("spiking-quantized", SpikingNet(SpikingSpec(model=model, steps=6)), 0.4)
    images = np.random.default_rng(0).random((20, 1, 8, 8)).astype(np.float32)
    keep("spiking-graph", convert(Residual().eval(), calibration=images, steps=6))
    np.savez_compressed("checkpoints/readouts.npz", **arrays)
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroprivacy.networks import load_checkpoint

FOLDER = Path(__file__).parent / "checkpoints"
KINDS = ("spiking", "spiking-chip", "spiking-quantized", "spiking-graph")


def check_readout(folder: Path, kind: str) -> None:
    net = load_checkpoint(folder).spiking
    with np.load(FOLDER / "readouts.npz") as recorded, torch.no_grad():
        found = net(torch.from_numpy(recorded["x"])).readout.numpy()
        np.testing.assert_allclose(found, recorded[kind], rtol=1e-5, atol=1e-5)  # sums differ by processor


@pytest.mark.parametrize("kind", KINDS)
def test_format_2_gives_the_recorded_readout(kind: str) -> None:
    check_readout(FOLDER / kind, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_format_1_gives_the_recorded_readout(kind: str, tmp_path: Path) -> None:
    """Format 1 is format 2 without the digest of model.json."""
    described = json.loads((FOLDER / kind / "model.json").read_text())
    del described["content_sha256"]
    (tmp_path / "model.json").write_text(json.dumps({**described, "format": 1}))
    (tmp_path / "weights.safetensors").write_bytes((FOLDER / kind / "weights.safetensors").read_bytes())
    check_readout(tmp_path, kind)
