"""Run an exported network on Lava with nothing of our own: stock Dense and LIF, Lava's sources, sinks and `Var.get`.

    python stock_lava.py NETWORK_FOLDER spikes.npz result.npz

A second opinion on the worker, which batches samples block-diagonally and records inside the neuron. Hard reset only;
one sample at a time; slow. Needs lava-nc 0.10.0 and Python 3.10, and is started by hw_tests/test_lava.py.
"""

import json
import os
import sys

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF


def run_sample(described, arrays, inputs, steps):
    """One sample: quantity.layer -> array (steps, neurons) or (neurons,)."""
    outlets, neurons, sinks = {}, {}, {}
    for port in described["ports"]:
        data = np.zeros((port["size"], steps), np.int32)
        data[:, : len(inputs[port["name"]])] = inputs[port["name"]].T
        outlets[port["name"]] = Source(data=data).s_out
    for i, layer in enumerate(described["layers"]):
        lif = LIF(
            shape=(layer["size"],), vth=layer["threshold"], du=layer["du"], dv=layer["dv"],
            bias_mant=arrays[f"layer{i}.bias_mantissa"].astype(np.int32), bias_exp=layer["bias_exponent"],
            u=arrays[f"layer{i}.u_init"].astype(np.int32), v=arrays[f"layer{i}.v_init"].astype(np.int32),
        )  # fmt: skip
        sink = Sink(shape=(layer["size"],), buffer=steps)
        lif.s_out.connect(sink.a_in)
        outlets[layer["name"]], neurons[layer["name"]], sinks[layer["name"]] = lif.s_out, lif, sink
    graded = {port["name"]: port["high"].bit_length() if port["high"] > 1 else 0 for port in described["ports"]}
    for i, layer in enumerate(described["layers"]):
        for j, edge in enumerate(layer["edges"]):
            weights = np.zeros((layer["size"], edge["source_size"]), np.int64)
            place = tuple(arrays[f"layer{i}.edge{j}.{n}"].astype(np.int64) for n in ("rows", "columns"))
            np.add.at(weights, place, arrays[f"layer{i}.edge{j}.values"].astype(np.int64))
            if np.abs(weights).max(initial=0) > 127:
                sys.exit("a summed weight needs more than eight bits: not for this check")
            # The sign mode is left to Lava: a matrix of one sign keeps its odd weights without the shift.
            mixed = weights.min(initial=0) < 0 < weights.max(initial=0)
            options = {"num_message_bits": graded.get(edge["source"], 0), "weight_exp": -1 if mixed else 0}
            given = weights * 2 if mixed else weights
            if edge["delay"] == 1:
                connection = Dense(weights=given, **options)
            else:
                connection = DelayDense(weights=given, delays=edge["delay"] - 1, **options)
            outlets[edge["source"]].connect(connection.s_in)
            connection.a_out.connect(neurons[layer["name"]].a_in)
    process = next(iter(neurons.values()))
    result = {}
    try:
        process.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        for name, lif in neurons.items():
            result[f"spikes.{name}"] = np.rint(sinks[name].data.get()).astype(np.int64).T
            result[f"final_u.{name}"] = np.rint(np.atleast_1d(lif.u.get())).astype(np.int64)
            result[f"final_v.{name}"] = np.rint(np.atleast_1d(lif.v.get())).astype(np.int64)
    finally:
        process.stop()
    return result


def main():
    """Run every sample and write what came out."""
    folder, source, target = sys.argv[1:]
    with open(os.path.join(folder, "network.json"), encoding="utf-8") as stream:
        described = json.load(stream)
    with np.load(os.path.join(folder, "network.npz"), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    with np.load(source, allow_pickle=False) as archive:
        inputs = {name: archive[name] for name in archive.files}
    samples, given = next(iter(inputs.values())).shape[:2]
    steps = given + described["latency"]
    parts = [run_sample(described, arrays, {n: a[s] for n, a in inputs.items()}, steps) for s in range(samples)]
    np.savez(target, **{name: np.stack([part[name] for part in parts]) for name in parts[0]})


if __name__ == "__main__":
    main()
