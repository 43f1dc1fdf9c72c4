"""SpikingJelly: `nir_exchange.export_to_nir` and `import_from_nir`, both with a time step (default 1e-4 s)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Network, Peer, Run, main
from layers import conv, dense, run_steps
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir, import_from_nir
from torch import nn

LATE = {"at_threshold": True}


def linear(seed: int, n_in: int, n_out: int, gain: float = 1.0) -> nn.Linear:
    return dense(seed, n_in, n_out, gain, layer.Linear)


def network(what: str, layers: list[nn.Module], shape: tuple[int, ...], reading: Any = None) -> Network:
    net = nn.Sequential(*layers)

    def run(inputs: np.ndarray) -> np.ndarray:
        functional.reset_net(net)
        with torch.no_grad():
            return torch.stack([net(torch.from_numpy(x[None]).float())[0] for x in inputs]).numpy()

    def export() -> Any:
        functional.reset_net(net)
        return export_to_nir(net, torch.zeros(1, *shape))

    return Network(what, shape, run, export, reading or {"*": LATE})


def stacked(what: str, make: Any, gain: float = 1.0, reading: Any = None) -> Network:
    return network(what, [linear(0, 6, 12, gain), make(), linear(1, 12, 8, gain), make()], (6,), reading)


def pooled(pool: nn.Module) -> Network:
    layers = [
        conv(0, 2, 4, 0.5, layer.Conv2d),
        neuron.IFNode(),
        pool,
        layer.Flatten(),
        linear(1, 64, 8, 0.6),
        neuron.IFNode(),
    ]
    return network(f"Conv2d, IFNode, {type(pool).__name__}, Flatten, Linear, IFNode", layers, (2, 8, 8))


def recurrent() -> Network:
    made = layer.LinearRecurrentContainer(neuron.IFNode(), in_features=8, out_features=8, bias=False)
    return network("Linear, LinearRecurrentContainer(IFNode)", [linear(0, 6, 8), made], (6,))


def load(path: Path, dt_s: float) -> Run:
    net = import_from_nir(str(path), dt=dt_s)

    def run(inputs: np.ndarray) -> np.ndarray:
        return run_steps(net, torch.from_numpy(inputs).float(), batched=True).numpy()

    return run


if __name__ == "__main__":
    main(
        Peer(
            name="spikingjelly",
            packages=("spikingjelly", "nir", "nirtorch", "torch"),
            dt_s=1e-4,
            networks={
                "if_hard": lambda: stacked("Linear, IFNode, twice", neuron.IFNode),
                "if_soft": lambda: stacked("IFNode(v_reset=None)", lambda: neuron.IFNode(v_reset=None)),
                "lif_hard": lambda: stacked(
                    "LIFNode(tau=10, decay_input=False)", lambda: neuron.LIFNode(tau=10.0, decay_input=False)
                ),
                "lif_hard_decay_input": lambda: stacked("LIFNode(tau=10)", lambda: neuron.LIFNode(tau=10.0), 8.0),
                "lif_soft": lambda: stacked(
                    "LIFNode(v_reset=None)", lambda: neuron.LIFNode(tau=10.0, v_reset=None), 8.0
                ),
                "cuba_hard": lambda: stacked(
                    "CUBALIFNode(c_decay=0.6, v_decay=0.9)", lambda: neuron.CUBALIFNode(c_decay=0.6, v_decay=0.9), 0.4
                ),
                "conv_avg": lambda: pooled(layer.AvgPool2d(2)),
                "conv_max": lambda: pooled(layer.MaxPool2d(2)),
                "recurrent": recurrent,
            },
            load=load,
            reading={"*": LATE},
        )
    )
