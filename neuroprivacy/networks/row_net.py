"""A recurrent network of current-based neurons that reads an image row by row.

    u[t] = α u[t-1] + W x[t] + V z[t-1]      v[t] = β v[t-1] + u[t]      z[t] = v[t] > θ, then v := 0
    y    = membrane of a leaky readout after the last row

One layer of nir.CubaLIF with itself as a source, and a readout. Input and recurrent weights lead into one population
and share a unit on a chip: in training at a width they are one quantized layer.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.networks.quantized import quantized_layer
from neuroprivacy.networks.scan import scan
from neuroprivacy.networks.surrogate import Surrogate

#: Decays that 12 bits hold: what a chip can compute is best trained.
ALPHA, BETA, READOUT_BETA = 1 - 1638 / 4096, 1 - 410 / 4096, 1 - 205 / 4096
THETA = 1.0


class RowNet(nn.Module):
    """The network.

    Attributes:
        cell: (rows of the image + hidden) -> hidden, W beside V.
        out: hidden -> classes.
    """

    def __init__(self, *, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.cell: nn.Module = nn.Linear(inputs + hidden, hidden, bias=False)
        self.out: nn.Module = nn.Linear(hidden, classes, bias=False)
        self.inputs, self.hidden = inputs, hidden
        self.surrogate = Surrogate(name="atan")

    def quantized(self, bits: WeightBits) -> RowNet:
        """The same network with its weights rounded in the forward pass."""
        net = RowNet(inputs=self.inputs, hidden=self.hidden, classes=int(self.out.weight.shape[0]))  # type: ignore[index]
        net.cell, net.out = (quantized_layer(layer, bits) for layer in (self.cell, self.out))  # type: ignore[arg-type]
        return net

    def forward(self, x: Tensor) -> Tensor:
        """(batch, T, inputs) of 0 and 1 -> (batch, classes)."""
        u = v = z = x.new_zeros(len(x), self.hidden)
        fired = []
        for row in x.unbind(1):
            u = ALPHA * u + self.cell(torch.cat([row, z], 1))
            v = BETA * v + u
            # One step of the scan is the bare spike function with its surrogate.
            z = scan(v.unsqueeze(0), threshold=v.new_tensor(THETA), beta=1.0, reset="hard", surrogate=self.surrogate)[0]
            v = v * (1 - z.detach())
            fired.append(z)
        y = x.new_zeros(())
        for current in self.out(torch.stack(fired)):
            y = READOUT_BETA * y + current
        return y


def row_net(*, inputs: int, hidden: int, classes: int, seed: int) -> RowNet:
    """A fresh network."""
    torch.manual_seed(seed)
    return RowNet(inputs=inputs, hidden=hidden, classes=classes)


@torch.no_grad()
def row_logits(net: RowNet, spikes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs of the float network, (samples, classes), for spikes (samples, T, inputs)."""
    net.eval()
    return np.concatenate([net(part).numpy() for part in torch.split(torch.from_numpy(spikes), 500)])
