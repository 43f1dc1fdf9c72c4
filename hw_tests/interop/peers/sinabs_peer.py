"""sinabs: `to_nir` and `from_nir`; its time constants are in steps, and there is no time step to give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import sinabs.layers as sl
import torch
from harness import Network, Peer, Run, main
from layers import conv, dense, run_steps
from sinabs.activation import MembraneReset, SingleSpike
from sinabs.nir import from_nir, to_nir
from torch import nn


def network(what: str, layers: list[nn.Module], shape: tuple[int, ...], reading: Any = None) -> Network:
    """The `Squeeze` layers take time as the batch axis."""
    net = nn.Sequential(*layers)

    def clear() -> None:
        for module in net:
            if hasattr(module, "reset_states"):
                module.reset_states()

    def run(inputs: np.ndarray) -> np.ndarray:
        clear()
        with torch.no_grad():
            return net(torch.from_numpy(inputs).float()).numpy().reshape(len(inputs), -1)

    def export() -> Any:
        return to_nir(net, torch.zeros(1, *shape))

    return Network(what, shape, run, export, reading or {})


def plain(reading: dict[str, Any]) -> dict[str, Any]:
    """What is so in every one of its neurons."""
    return {"at_threshold": True, "several": True, **reading}


def if_soft() -> Network:
    layers = [dense(0, 6, 12), sl.IAFSqueeze(batch_size=1), dense(1, 12, 8), sl.IAFSqueeze(batch_size=1)]
    return network("Linear, IAFSqueeze, the defaults, twice", layers, (6,), {"IF": plain({"reset": "soft"})})


def if_soft_single() -> Network:
    def node() -> sl.IAFSqueeze:
        return sl.IAFSqueeze(batch_size=1, spike_fn=SingleSpike)

    layers = [dense(0, 6, 12), node(), dense(1, 12, 8), node()]
    return network("IAFSqueeze(spike_fn=SingleSpike)", layers, (6,), {"IF": {"reset": "soft", "at_threshold": True}})


def if_hard() -> Network:
    def node() -> sl.IAFSqueeze:
        return sl.IAFSqueeze(batch_size=1, spike_fn=SingleSpike, reset_fn=MembraneReset())

    layers = [dense(0, 6, 12), node(), dense(1, 12, 8), node()]
    return network("IAFSqueeze(spike_fn=SingleSpike, reset_fn=MembraneReset())", layers, (6,))


def lif_soft() -> Network:
    def node(n: int) -> sl.LIFSqueeze:
        return sl.LIFSqueeze(
            tau_mem=torch.full((n,), 10.0), spike_threshold=torch.ones(n), batch_size=1, norm_input=False
        )

    reading = {"LIF": plain({"reset": "soft", "decay": "exponential", "gain": "one"})}
    layers = [dense(0, 6, 12), node(12), dense(1, 12, 8), node(8)]
    return network("Linear, LIFSqueeze(norm_input=False), twice", layers, (6,), reading)


def lif_scalar() -> Network:
    layers = [dense(0, 6, 8, 10.0), sl.LIFSqueeze(tau_mem=10.0, batch_size=1)]
    reading = {"LIF": plain({"reset": "soft", "decay": "exponential"})}
    return network("LIFSqueeze(tau_mem=10.0): scalar parameters, norm_input=True", layers, (6,), reading)


def conv_sum(inferred: bool) -> Network:
    layers = [
        conv(0, 2, 4, 0.3), sl.IAFSqueeze(batch_size=1), sl.SumPool2d(2), nn.Flatten(), dense(1, 64, 8, 0.15),
        sl.IAFSqueeze(batch_size=1),
    ]  # fmt: skip
    what = "Conv2d, IAFSqueeze, SumPool2d, Flatten, Linear, IAFSqueeze" + ", infer_types()" * inferred
    made = network(what, layers, (2, 8, 8), {"IF": plain({"reset": "soft"})})
    export = made.export
    made.export = lambda: with_types(export()) if inferred else export()
    return made


def with_types(graph: Any) -> Any:
    """Fill in the shapes that the exporter left out."""
    graph.infer_types()
    return graph


def conv_avg() -> Network:
    layers = [conv(0, 2, 4), sl.IAFSqueeze(batch_size=1), nn.AvgPool2d(2), nn.Flatten(), dense(1, 64, 8)]
    return network("Conv2d, IAFSqueeze, AvgPool2d, Flatten, Linear", layers, (2, 8, 8))


def load(path: Path, dt_s: float) -> Run:
    """`dt_s` cannot be given: time constants are taken for steps."""
    net = from_nir(nir.read(path), batch_size=1)

    def run(inputs: np.ndarray) -> np.ndarray:
        return run_steps(net, torch.from_numpy(inputs).float(), batched=True).numpy()

    return run


if __name__ == "__main__":
    soft = plain({"reset": "soft"})
    main(
        Peer(
            name="sinabs",
            packages=("sinabs", "nir", "nirtorch", "torch"),
            dt_s=1.0,
            networks={
                "if_soft": if_soft, "if_soft_single": if_soft_single, "if_hard": if_hard, "lif_soft": lif_soft,
                "lif_scalar": lif_scalar, "conv_sum": lambda: conv_sum(False),
                "conv_sum_inferred": lambda: conv_sum(True), "conv_avg": conv_avg,
            },
            load=load,
            reading={
                "IF": {**soft, "floor": True, "gain": "one"},
                "LIF": {**soft, "dt_s": 1.0, "decay": "exponential", "gain": "one"},
            },
        )
    )  # fmt: skip
