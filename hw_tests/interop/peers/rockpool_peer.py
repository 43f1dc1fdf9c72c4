"""Rockpool: `to_nir` and `from_nir` of its torch modules; an importer that infers the time step as min τ/(1 + R)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Network, Peer, Run, draw_weights, main
from layers import dense
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import LIFNeuronTorch, LIFTorch, LinearTorch
from rockpool.nn.modules.torch.nir import from_nir, to_nir

warnings.simplefilter("ignore")
DT_S = 1e-3
#: What the importer infers from our files, where τ = 10 dt and R = 10: τ/(1 + R).
READ_DT_S = 1e-3 / 11
COMMON = {"reset": "soft", "at_threshold": True, "several": True, "decay": "exponential", "gain": "one"}


def linear(seed: int, n_in: int, n_out: int, gain: float = 1.0) -> LinearTorch:
    layer = dense(seed, n_in, n_out, gain)
    return LinearTorch((n_in, n_out), weight=layer.weight.data.T.clone(), bias=layer.bias.data, has_bias=True)


def network(what: str, layers: list[Any], shape: tuple[int, ...], reading: Any = None) -> Network:
    net = Sequential(*layers)

    def run(inputs: np.ndarray) -> np.ndarray:
        net.reset_state()
        with torch.no_grad():
            return net(torch.from_numpy(inputs[None]).float())[0][0].numpy()

    def export() -> Any:
        net.reset_state()
        return to_nir(net)

    return Network(what, shape, run, export, reading or {})


def lif(kind: Any, n: int, **options: Any) -> Any:
    return kind(n, tau_mem=torch.full((n,), 10e-3), threshold=torch.ones(n), dt=DT_S, **options)


def lif_soft() -> Network:
    layers = [linear(0, 6, 12), lif(LIFNeuronTorch, 12), linear(1, 12, 8), lif(LIFNeuronTorch, 8)]
    return network("LinearTorch, LIFNeuronTorch, twice", layers, (6,), {"LIF": COMMON})


def cuba(**options: Any) -> Any:
    def made(n: int) -> Any:
        return lif(LIFTorch, n, tau_syn=torch.full((n, 1), 5e-3), **options)

    return made


def cuba_soft() -> Network:
    make = cuba()
    layers = [linear(0, 6, 12, 0.3), make(12), linear(1, 12, 8, 0.3), make(8)]
    reading = {"CubaLIF": {**COMMON, "synapse": "jump-decay"}}
    return network("LinearTorch, LIFTorch, twice", layers, (6,), reading)


def recurrent() -> Network:
    made = cuba(has_rec=True, w_rec=torch.from_numpy(draw_weights(5, 8, 8, gain=0.1)))(8)
    return network("LinearTorch, LIFTorch(has_rec=True)", [linear(0, 6, 8, 0.3), made], (6,))


def load(path: Path, dt_s: float) -> Run:
    """`dt_s` cannot be given."""
    net = from_nir(path)

    def run(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            result = net(torch.from_numpy(inputs[None]).float())
        result = result[0] if isinstance(result, tuple) else result
        return result[0].numpy()

    return run


if __name__ == "__main__":
    main(
        Peer(
            name="rockpool",
            packages=("rockpool", "nir", "nirtorch", "torch"),
            dt_s=DT_S,
            networks={"lif_soft": lif_soft, "cuba_soft": cuba_soft, "recurrent": recurrent},
            load=load,
            reading={"*": {**COMMON, "dt_s": READ_DT_S}, "CubaLIF": {"synapse": "jump-decay"}},
        )
    )
