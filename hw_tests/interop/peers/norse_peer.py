"""Norse: `to_nir` and `from_nir`, both with a time step that the caller gives (default 1e-3 s)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import norse.torch as norse
import numpy as np
import torch
from harness import Network, Peer, Run, main
from layers import conv, dense, run_steps
from norse.torch.functional.reset import reset_subtract
from torch import nn

DT_S = 1e-3
#: What the exporter writes for τ is τ·dt; with this for a time step the file means what the network computes.
FILE_DT_S = DT_S * DT_S


def lif(*shape: int, **options: Any) -> norse.LIFBoxCell:
    one = torch.ones(shape)
    return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=one * 100, v_th=one, v_leak=one * 0, **options), dt=DT_S)


def network(what: str, layers: list[nn.Module], shape: tuple[int, ...], reading: Any = None) -> Network:
    net = norse.SequentialState(*layers)

    def run(inputs: np.ndarray) -> np.ndarray:
        return run_steps(net, torch.from_numpy(inputs).float(), batched=False).numpy()

    def export() -> Any:
        return norse.to_nir(net, torch.zeros(*shape), dt=DT_S)

    return Network(what, shape, run, export, {"*": {"dt_s": FILE_DT_S}, **(reading or {})})


def lif_hard() -> Network:
    return network("Linear, LIFBoxCell, twice", [dense(0, 6, 12, 6), lif(12), dense(1, 12, 8, 6), lif(8)], (6,))


def lif_soft() -> Network:
    soft = {"reset_method": reset_subtract}
    layers = [dense(0, 6, 12, 6), lif(12, **soft), dense(1, 12, 8, 6), lif(8, **soft)]
    return network("LIFBoxCell(reset_method=reset_subtract)", layers, (6,), {"LIF": {"reset": "soft"}})


def if_hard() -> Network:
    def node(n: int) -> norse.IAFCell:
        return norse.IAFCell(norse.IAFParameters(v_th=torch.ones(n)))

    layers = [dense(0, 6, 12), node(12), dense(1, 12, 8), node(8)]
    return network("Linear, IAFCell, twice", layers, (6,), {"IF": {"gain": "one"}})


def cuba_hard() -> Network:
    def cell(n: int) -> norse.LIFCell:
        one = torch.ones(n)
        chosen = norse.LIFParameters(tau_syn_inv=one * 200, tau_mem_inv=one * 100, v_th=one, v_leak=one * 0)
        return norse.LIFCell(chosen, dt=DT_S)

    layers = [dense(0, 6, 12, 2), cell(12), dense(1, 12, 8, 2), cell(8)]
    return network("Linear, LIFCell, twice", layers, (6,), {"CubaLIF": {"synapse": "jump"}})


def conv_only(inferred: bool) -> Network:
    made = network("Conv2d, LIFBoxCell" + ", infer_types()" * inferred, [conv(0, 2, 8, 4.0), lif(8, 8, 8)], (2, 8, 8))
    export = made.export
    made.export = lambda: with_types(export()) if inferred else export()
    return made


def with_types(graph: Any) -> Any:
    """Fill in the shapes that the exporter left out."""
    graph.infer_types()
    return graph


def conv_flatten() -> Network:
    layers = [conv(0, 2, 4, 4.0), lif(4, 8, 8), nn.Flatten(0), dense(1, 256, 8)]
    return network("Conv2d, LIFBoxCell, Flatten, Linear", layers, (2, 8, 8))


def scalar_parameters() -> Network:
    return network("LIFBoxCell() with its default, scalar parameters", [dense(0, 6, 8), norse.LIFBoxCell()], (6,))


def load(path: Path, dt_s: float) -> Run:
    net = norse.from_nir(nir.read(path), dt=dt_s)

    def run(inputs: np.ndarray) -> np.ndarray:
        return run_steps(net, torch.from_numpy(inputs).float(), batched=False).numpy()

    return run


if __name__ == "__main__":
    main(
        Peer(
            name="norse",
            packages=("norse", "nir", "nirtorch", "torch"),
            dt_s=DT_S,
            networks={
                "lif_hard": lif_hard, "lif_soft": lif_soft, "if_hard": if_hard, "cuba_hard": cuba_hard,
                "conv": lambda: conv_only(False), "conv_inferred": lambda: conv_only(True),
                "conv_flatten": conv_flatten, "scalar_parameters": scalar_parameters,
            },
            load=load,
            reading={"IF": {"gain": "one"}, "LIF": {"gain": "no-r"}},
        )
    )  # fmt: skip
