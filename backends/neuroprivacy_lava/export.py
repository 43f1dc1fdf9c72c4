"""The folder that Lava runs: network.json, network.npz, run.py, README.md. No neuroprivacy is needed to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.storage import write_arrays, write_json, write_text
from neuroprivacy.program import Program, save_program, unroll
from neuroprivacy_lava.netx import write_net
from neuroprivacy_lava.worker_process import worker_script

README = """# A network for Lava

Exported for `{target}`: {layers} layers, {neurons} neurons, latency {latency} steps, readout by {readout}.

    pip install lava-nc==0.10.0        # Python 3.10
    python run.py --input spikes.npz --output result.npz

`spikes.npz` holds `spikes`, integers of shape (samples, steps, {inputs}); optionally `labels`. `result.npz` then holds
`spikes` (samples, steps, outputs), `readout` and `prediction`. `network.json` and `network.npz` are the network itself;
`program/` is the same network for neuroprivacy. Content hash: `{digest}`.

For lava-dl: {net}

"Bit-accurate" here means equal to Lava's fixed-point models on a CPU; it is not a claim about a chip.
"""


def export(program: Program, folder: Path) -> None:
    """Write the folder. `network.json` is written last and marks a complete folder."""
    arrays: dict[str, NDArray[Any]] = {}
    layers = []
    for i, layer in enumerate(program.layers):
        arrays[f"layer{i}.bias_mantissa"] = layer.bias_mantissa.astype(np.int32)
        arrays[f"layer{i}.v_init"] = layer.v_init.astype(np.int32)
        arrays[f"layer{i}.u_init"] = layer.u_init.astype(np.int32)
        edges = []
        for j, edge in enumerate(layer.edges):
            matrix = unroll(edge.map)
            arrays[f"layer{i}.edge{j}.rows"] = matrix.rows.astype(np.int32)
            arrays[f"layer{i}.edge{j}.columns"] = matrix.columns.astype(np.int32)
            arrays[f"layer{i}.edge{j}.values"] = matrix.values.astype(np.int16)
            edges.append(
                {
                    "source": edge.source,
                    "source_size": edge.map.in_size,
                    "delay": edge.delay,
                    "message_bits": _message_bits(program, edge.source),
                }
            )
        layers.append(
            {
                "name": layer.name,
                "size": layer.size,
                "threshold": int(layer.threshold[0]),
                "du": int(layer.du[0]),
                "dv": int(layer.dv[0]),
                "bias_exponent": layer.bias_exponent,
                "reset": layer.reset,
                "fires": layer.fires,
                "edges": edges,
            }
        )
    save_program(program, folder / "program")
    for stale in ("program.json", "arrays.npz", "network.net"):
        (folder / stale).unlink(missing_ok=True)
    reason = write_net(program, folder / "network.net")
    write_arrays(folder / "network.npz", arrays)
    write_text(folder / "run.py", worker_script().read_text(encoding="utf-8"))
    write_text(
        folder / "README.md",
        README.format(
            target=program.target.name,
            layers=len(program.layers),
            neurons=sum(layer.size for layer in program.layers),
            latency=program.latency,
            readout=program.readout,
            inputs=", ".join(str(port.size) for port in program.inputs),
            digest=program.content_hash,
            net="`network.net` is read by netx." if reason is None else f"there is no `network.net`: {reason}.",
        ),
    )
    write_json(
        folder / "network.json",
        {
            "format": 1,
            "content_hash": program.content_hash,
            "ports": [{"name": p.name, "size": p.size, "low": p.low, "high": p.high} for p in program.inputs],
            "max_steps": program.max_steps,
            "layers": layers,
            "outputs": list(program.outputs),
            "latency": program.latency,
            "latencies": list(program.latencies) or [program.latency] * len(program.outputs),
            "readout": program.readout,
        },
    )


def _message_bits(program: Program, source: str) -> int:
    """Bits of a source's largest value: 1 for spikes.

    Lava's path for zero bits gives the same integers for spikes and is an order of magnitude slower.
    """
    for port in program.inputs:
        if port.name == source:
            return max(abs(port.low), abs(port.high), 1).bit_length()
    return 1
