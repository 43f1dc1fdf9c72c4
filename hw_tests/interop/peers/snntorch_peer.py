"""snnTorch: `export_to_nir` and `import_from_nir`; the time step 1e-4 s is fixed in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import snntorch as snn
import torch
from harness import Network, Peer, Run, draw_weights, main
from layers import conv, dense, run_steps
from snntorch import utils
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir
from torch import nn


def leaky(*shape: int, **options: Any) -> snn.Leaky:
    """Full-shape parameters: with scalars the exporter fails."""
    given = {"reset_mechanism": "zero", "init_hidden": True, **options}
    return snn.Leaky(beta=torch.full(shape, 0.9), threshold=torch.ones(shape), **given)


def network(what: str, net: nn.Module, shape: tuple[int, ...], reading: Any = None) -> Network:
    """Run without a batch axis, exported with one (the exporter drops it)."""

    def run(inputs: np.ndarray) -> np.ndarray:
        utils.reset(net)
        with torch.no_grad():
            steps = [net(torch.from_numpy(x).float()) for x in inputs]
        return torch.stack([s[0] if isinstance(s, tuple) else s for s in steps]).numpy()

    def export() -> Any:
        utils.reset(net)
        return export_to_nir(net, torch.zeros(1, *shape), ignore_dims=[0])

    return Network(what, shape, run, export, reading or {})


def lif_hard() -> Network:
    net = nn.Sequential(dense(0, 6, 12), leaky(12), dense(1, 12, 8), leaky(8))
    return network('Linear, Leaky(reset_mechanism="zero"), twice', net, (6,))


def lif_soft() -> Network:
    soft = {"reset_mechanism": "subtract", "reset_delay": False}
    net = nn.Sequential(dense(0, 6, 12), leaky(12, **soft), dense(1, 12, 8), leaky(8, **soft))
    return network('Leaky(reset_mechanism="subtract", reset_delay=False)', net, (6,), {"LIF": {"reset": "soft-again"}})


def lif_soft_late() -> Network:
    soft = {"reset_mechanism": "subtract"}
    net = nn.Sequential(dense(0, 6, 12), leaky(12, **soft), dense(1, 12, 8), leaky(8, **soft))
    return network('Leaky, the default: "subtract", reset_delay=True', net, (6,), {"LIF": {"reset": "soft-late"}})


def if_hard() -> Network:
    node = snn.Leaky(beta=torch.ones(8), threshold=torch.ones(8), reset_mechanism="zero", init_hidden=True)
    return network("Leaky(beta=1): integrate and fire", nn.Sequential(dense(0, 6, 8), node), (6,))


def scalar_parameters() -> Network:
    net = nn.Sequential(dense(0, 6, 8), snn.Leaky(beta=0.9, init_hidden=True, reset_mechanism="zero"))
    return network("Leaky(beta=0.9): the documented example's form", net, (6,))


def cuba(reset_delay: bool) -> Network:
    def synaptic(n: int) -> snn.Synaptic:
        options = {"reset_mechanism": "zero", "reset_delay": reset_delay, "init_hidden": True}
        return snn.Synaptic(alpha=torch.full((n,), 0.6), beta=torch.full((n,), 0.9), threshold=torch.ones(n), **options)

    net = nn.Sequential(dense(0, 6, 12, 0.4), synaptic(12), dense(1, 12, 8, 0.4), synaptic(8))
    reading = {"CubaLIF": {"reset": "hard-late"}} if reset_delay else {}
    return network(f'Linear, Synaptic(reset_mechanism="zero", reset_delay={reset_delay}), twice', net, (6,), reading)


def conv_avg() -> Network:
    layers = [conv(0, 2, 4, 0.3), leaky(4, 8, 8), nn.AvgPool2d(2, 2), dense(1, 64, 8, 0.6), leaky(8)]
    plain = nn.Sequential(*layers[:3], nn.Flatten(0), *layers[3:])
    made = network("Conv2d, Leaky, AvgPool2d, Flatten, Linear, Leaky", plain, (2, 8, 8))
    made.export = network("", nn.Sequential(*layers[:3], nn.Flatten(), *layers[3:]), (2, 8, 8)).export
    return made


def recurrent(all_to_all: bool) -> Network:
    options = (
        {"all_to_all": True, "linear_features": 8} if all_to_all else {"all_to_all": False, "V": torch.full((8,), 0.2)}
    )
    node = snn.RLeaky(
        beta=torch.full((8,), 0.9), threshold=torch.ones(8), reset_mechanism="zero", reset_delay=False,
        init_hidden=True, **options,
    )  # fmt: skip
    if all_to_all:
        node.recurrent.weight.data = torch.from_numpy(draw_weights(5, 8, 8, gain=0.4))
        node.recurrent.bias.data.zero_()
    return network(f"Linear, RLeaky(all_to_all={all_to_all})", nn.Sequential(dense(0, 6, 8), node), (6,))


def load(path: Path, dt_s: float) -> Run:
    """`dt_s` cannot be given to the importer."""
    net = import_from_nir(nir.read(path))

    def run(inputs: np.ndarray) -> np.ndarray:
        utils.reset(net)
        return run_steps(net, torch.from_numpy(inputs).float(), batched=False).numpy()

    return run


if __name__ == "__main__":
    main(
        Peer(
            name="snntorch",
            packages=("snntorch", "nir", "nirtorch", "torch"),
            dt_s=1e-4,
            networks={
                "lif_hard": lif_hard, "lif_soft": lif_soft, "lif_soft_late": lif_soft_late, "if_hard": if_hard,
                "cuba_hard": lambda: cuba(False), "cuba_hard_late": lambda: cuba(True), "conv_avg": conv_avg,
                "recurrent": lambda: recurrent(True),
                "recurrent_diagonal": lambda: recurrent(False), "scalar_parameters": scalar_parameters,
            },
            load=load,
            reading={"*": {"dt_s": 1e-4}, "IF": {"decay": 0.9, "reset": "soft-again", "gain": "one"}},
        )
    )  # fmt: skip
