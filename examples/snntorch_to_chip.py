"""A network that was written and trained in snnTorch, as the integers of Loihi 2; offline, less than a minute.

python examples/snntorch_to_chip.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import snntorch as snn
import torch
from torch import nn

import neuroprivacy as npv

STEPS = 20


class Net(nn.Module):
    """One time step. The reset is the one of a chip: to zero, in the step of the spike (snnTorch's default is not)."""

    def __init__(self) -> None:
        super().__init__()
        chip = {"reset_mechanism": "zero", "reset_delay": False}
        self.fc1, self.lif1 = nn.Linear(64, 48), snn.RLeaky(beta=0.9, linear_features=48, **chip)
        self.fc2, self.lif2 = nn.Linear(48, 10), snn.Leaky(beta=0.9, learn_beta=True, **chip)

    def forward(self, x, spk1=None, mem1=None, mem2=None):  # type: ignore[no-untyped-def]
        """Spikes of the ten classes, and the states for the next step."""
        spk1, mem1 = self.lif1(self.fc1(x.flatten(1)), spk1, mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        return spk2, (spk1, mem1, mem2)


def counted(net: Net, x: torch.Tensor) -> torch.Tensor:
    """Spikes per class of (steps, samples, 1, 8, 8)."""
    net.lif1.reset_mem()
    net.lif2.reset_mem()
    states: tuple[torch.Tensor, ...] = ()
    total = torch.zeros(x.shape[1], 10)
    for step in x:
        spikes, states = net(step, *states)
        total = total + spikes
    return total


def main(folder: Path) -> tuple[float, float]:
    """Train in snnTorch, export, lower, run; returns the accuracies of snnTorch and of the integers."""
    torch.manual_seed(0)
    data = npv.load_dataset("digits")
    images, labels = torch.tensor(data.train_images).float(), torch.tensor(data.train_labels).long()
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(6):
        for batch in torch.randperm(len(images)).split(64):
            x = torch.bernoulli(images[batch].expand(STEPS, *images[batch].shape))
            loss = nn.functional.cross_entropy(counted(net, x), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    graph = npv.to_nir(net, input_shape=(1, 8, 8))
    npv.save_nir(graph, folder / "network.nir")
    lowered = npv.lower(graph, target="loihi2")
    for issue in lowered.diagnostics:
        print(f"diagnostic: {issue}")

    test = torch.tensor(data.test_images).float()
    truth = torch.tensor(data.test_labels)
    x = torch.bernoulli(test.expand(STEPS, *test.shape))
    artifact = npv.build(lowered.program, backend="fixedpoint", folder=folder / "fixedpoint")
    result = npv.run(artifact, spikes={"input": x.transpose(0, 1).long().numpy()})
    integers = torch.from_numpy(result.readout)
    with torch.no_grad():
        floats = counted(net, x)
    theirs, ours = (float((counts.argmax(1) == truth).float().mean()) for counts in (floats, integers))
    print(f"snnTorch {theirs:.3f}")
    print(f"integers {ours:.3f}, {float((floats == integers).float().mean()):.1%} of the spike counts equal")
    return theirs, ours


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="snntorch-")))
