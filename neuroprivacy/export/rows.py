"""The recurrent network that reads rows, in NIR."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.graph.metadata import DEFAULT_DT_S, WEIGHT_SCALE, GraphInfo
from neuroprivacy.networks.quantized import computed_weight, weight_unit
from neuroprivacy.networks.row_net import ALPHA, BETA, READOUT_BETA, THETA, RowNet


@torch.no_grad()
def row_graph(net: RowNet) -> nir.NIRGraph:
    """The network in NIR; weights on a grid say so."""
    net.eval()
    cell, unit = _weights(net.cell)
    out, out_unit = _weights(net.out)
    full = np.ones(net.hidden, np.float32)
    classes = np.ones(len(out), np.float32)
    dt_s = DEFAULT_DT_S
    tau_mem, tau_out = dt_s / (1 - BETA), dt_s / (1 - READOUT_BETA)
    nodes = {
        "input": nir.Input({"input": np.array([net.inputs])}),
        "w": nir.Linear(weight=cell[:, : net.inputs], metadata=unit),
        "v": nir.Linear(weight=cell[:, net.inputs :], metadata=dict(unit)),
        "hidden": nir.CubaLIF(
            tau_syn=full * dt_s / (1 - ALPHA), tau_mem=full * tau_mem, r=full * tau_mem / dt_s, v_leak=full * 0,
            v_threshold=full * THETA, v_reset=full * 0, w_in=full / (1 - ALPHA),
        ),
        "fc": nir.Linear(weight=out, metadata=out_unit),
        "readout": nir.LI(tau=classes * tau_out, r=classes * tau_out / dt_s, v_leak=classes * 0),
        "output": nir.Output({"output": np.array([len(out)])}),
    }  # fmt: skip
    edges = [
        ("input", "w"), ("w", "hidden"), ("hidden", "v"), ("v", "hidden"), ("hidden", "fc"), ("fc", "readout"),
        ("readout", "output"),
    ]  # fmt: skip
    info = GraphInfo(dt_s=dt_s, reset="hard", readout="membrane", steps=net.inputs)
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=info.to_metadata(), type_check=False)


def _weights(layer: nn.Module) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """What a layer computes with, and the unit on which it lies, as metadata."""
    unit = weight_unit(layer)
    return computed_weight(layer).numpy(), {} if unit is None else {WEIGHT_SCALE: unit.numpy().reshape(-1)}
