# /// script
# requires-python = "==3.10.*"
# dependencies = ["lava-nc==0.10.0", "numpy<2", "scipy<1.13"]
# ///
"""Run an exported network on Lava's fixed-point models. Needs lava-nc 0.10.0 and nothing of neuroprivacy.

    python run.py --input spikes.npz --output result.npz        run a file
    python run.py --serve                                       answer requests, one folder name a line (used by us)

The network lies beside this file (or in --network): `network.json` says what is connected to what, `network.npz` holds
the integers. `spikes.npz` holds one integer array per input port (samples, steps, values), or one named `spikes`.
`result.npz` then holds `spikes` (samples, steps, outputs), `readout` and `prediction`.

All samples of a chunk stand side by side in one block-diagonal network, so that one run computes them all, each as if
it were alone. Weights are passed as `W << 1` with `weight_exp = -1` in mixed mode: the only way in which Lava keeps all
eight bits of a signed weight.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback

import numpy as np
from scipy.sparse import block_diag, coo_matrix, csr_matrix

MAX_NONZEROS = 2_000_000
MAX_CHUNK = 128


def load_network(folder):
    """Read the network's description and its arrays."""
    with open(os.path.join(folder, "network.json"), encoding="utf-8") as stream:
        described = json.load(stream)
    with np.load(os.path.join(folder, "network.npz"), allow_pickle=False) as archive:
        return described, {name: archive[name] for name in archive.files}


def lava_classes():
    """Lava, imported late: it takes a second.

    The neurons are Lava's own bit-accurate model. Two things are added to it: it writes its spikes, u and v to a file
    when the run ends (reading them through `Var.get` costs 35 microseconds a number), and a second one subtracts its
    threshold, because a stock LIF knows only the hard reset.
    """
    # Loaded here and not by each child's first run.
    import lava.magma.compiler.compiler
    import lava.magma.runtime.message_infrastructure.multiprocessing
    import lava.magma.runtime.runtime  # noqa: F401
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.lif.models import PyLifModelBitAcc
    from lava.proc.lif.process import LIF
    from lava.proc.sparse.process import DelaySparse, Sparse
    from lava.utils.weightutils import SignMode

    class Recorded(PyLifModelBitAcc):
        """Lava's bit-accurate LIF process that records its spikes and states."""

        def run_spk(self):
            super().run_spk()
            if self.time_step == 1:
                self.kept = {"spikes": [], "states_u": [], "states_v": []}
            self.kept["spikes"].append(self.s_out_buff.astype(np.uint8))
            if self.proc_params["states"]:
                self.kept["states_u"].append(self.u.copy())
                self.kept["states_v"].append(self.v.copy())
            if self.time_step == self.proc_params["steps"]:
                arrays = {name: np.stack(values) for name, values in self.kept.items() if values}
                np.savez(self.proc_params["path"], final_u=self.u, final_v=self.v, **arrays)

    class Soft(Recorded):
        """The same neuron process with a soft reset: the threshold is subtracted."""

        def reset_voltage(self, spike_vector):
            self.v[spike_vector] -= self.effective_vth

    return {
        "RunSteps": RunSteps, "Source": Source, "LIF": LIF, "hard": Recorded, "soft": Soft, "Sparse": Sparse,
        "DelaySparse": DelaySparse, "MIXED": SignMode.MIXED, "Config": Loihi2SimCfg,
    }  # fmt: skip


def matrices(rows, columns, values, shape):
    """The matrix of an edge as parts whose entries stay within eight bits (a pair may occur in several parts)."""
    parts = []
    order = np.lexsort((columns, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    first = np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0)) if len(rows) else np.zeros(0, int)
    occurrence = np.arange(len(rows)) - first
    for turn in range(int(occurrence.max()) + 1 if len(rows) else 1):
        chosen = occurrence == turn
        parts.append(coo_matrix((values[chosen], (rows[chosen], columns[chosen])), shape=shape).tocsr())
    return parts


def build(lava, described, arrays, inputs, steps, states, scratch):
    """One Lava network for a chunk of samples: {layer: LIF}."""
    samples = len(next(iter(inputs.values())))
    outlets, neurons = {}, {}
    for port in described["ports"]:
        given = inputs[port["name"]]
        data = np.zeros((samples * port["size"], steps), np.int32)
        data[:, : given.shape[1]] = given.transpose(0, 2, 1).reshape(samples * port["size"], given.shape[1])
        outlets[port["name"]] = lava["Source"](data=data).s_out
    for i, layer in enumerate(described["layers"]):
        neurons[layer["name"]] = lava["LIF"](
            shape=(samples * layer["size"],),
            vth=int(layer["threshold"]),
            du=int(layer["du"]),
            dv=int(layer["dv"]),
            bias_mant=np.tile(arrays[f"layer{i}.bias_mantissa"].astype(np.int32), samples),
            bias_exp=int(layer["bias_exponent"]),
            u=np.tile(arrays[f"layer{i}.u_init"].astype(np.int32), samples),
            v=np.tile(arrays[f"layer{i}.v_init"].astype(np.int32), samples),
            steps=steps,
            states=states,
            path=os.path.join(scratch, f"layer{i}.npz"),
        )
        outlets[layer["name"]] = neurons[layer["name"]].s_out
    for i, layer in enumerate(described["layers"]):
        for j, edge in enumerate(layer["edges"]):
            rows, columns, values = (
                arrays[f"layer{i}.edge{j}.{n}"].astype(np.int64) for n in ("rows", "columns", "values")
            )
            for part in matrices(rows, columns, values, (layer["size"], edge["source_size"])):
                connect(lava, part, samples, edge, outlets[edge["source"]], neurons[layer["name"]].a_in)
    return neurons


def connect(lava, part, samples, edge, outlet, inlet):
    """Make one Lava connection that serves all samples."""
    weights = csr_matrix(block_diag([part * 2] * samples, format="csr"), dtype=np.int32)
    options = {"weight_exp": -1, "num_message_bits": edge["message_bits"], "sign_mode": lava["MIXED"]}
    if edge["delay"] == 1:
        connection = lava["Sparse"](weights=weights, **options)
    else:
        delays = weights.copy().astype(int)
        delays.data[:] = edge["delay"] - 1
        connection = lava["DelaySparse"](weights=weights, delays=delays, max_delay=edge["delay"] - 1, **options)
    outlet.connect(connection.s_in)
    connection.a_out.connect(inlet)


def run_chunk(lava, described, arrays, inputs, given, record):
    """One chunk of samples: quantity.layer -> array (samples, steps, neurons), or (samples, neurons) for final ones."""
    samples, steps = len(next(iter(inputs.values()))), given + described["latency"]
    result = {}
    with tempfile.TemporaryDirectory(prefix="lava-record-") as scratch:
        neurons = build(lava, described, arrays, inputs, steps, record["states"], scratch)
        models = {neurons[layer["name"]]: lava[layer["reset"]] for layer in described["layers"]}
        config = lava["Config"](select_tag="fixed_pt", exception_proc_model_map=models)
        process = next(iter(neurons.values()))
        try:
            process.run(condition=lava["RunSteps"](num_steps=steps), run_cfg=config)
        finally:
            process.stop()
        for i, name in enumerate(neurons):
            with np.load(os.path.join(scratch, f"layer{i}.npz"), allow_pickle=False) as archive:
                for quantity in archive.files:
                    array = archive[quantity]
                    if quantity.startswith("final"):
                        array = array.reshape(samples, -1)
                    else:
                        array = array.reshape(steps, samples, -1).transpose(1, 0, 2)
                    wide = np.uint8 if quantity == "spikes" else np.int64
                    result[f"{quantity}.{name}"] = array.astype(wide)
    return result


def run_apart(*arguments):
    """`run_chunk` in a child: Lava keeps every network it ever ran, and only the end of a process gives that back."""
    with tempfile.TemporaryDirectory(prefix="lava-chunk-") as scratch:
        path = os.path.join(scratch, "result.npz")
        child = os.fork()
        if child == 0:
            try:
                np.savez(path, **run_chunk(*arguments))
                os._exit(0)
            except BaseException:
                with open(path + ".error", "w", encoding="utf-8") as stream:
                    stream.write(traceback.format_exc())
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if status != 0:
            told = os.path.exists(path + ".error")
            reason = f"it ended with status {status}"
            if told:
                with open(path + ".error", encoding="utf-8") as stream:
                    reason = stream.read()
            raise RuntimeError(f"Lava failed\n{reason}")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def run_network(folder, inputs, record):
    """Run all samples, in chunks; returns arrays keyed "quantity.layer"."""
    described, arrays = load_network(folder)
    lava = lava_classes()
    samples, given = next(iter(inputs.values())).shape[:2]
    nonzeros = sum(array.size for name, array in arrays.items() if name.endswith(".values"))
    size = max(1, min(samples, MAX_CHUNK, MAX_NONZEROS // max(1, nonzeros)))
    parts = []
    for first in range(0, samples, size):
        chunk = {name: array[first : first + size] for name, array in inputs.items()}
        parts.append(run_apart(lava, described, arrays, chunk, given, record))
    return described, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def versions():
    """Versions of Python, Lava and numpy in this process."""
    from importlib.metadata import version

    return {"lava-nc": version("lava-nc"), "numpy": np.__version__, "python": sys.version.split()[0]}


def answer(folder):
    """One request: read request.json and arrays.npz, write result.npz and then response.json."""
    started = time.time()
    try:
        with open(os.path.join(folder, "request.json"), encoding="utf-8") as stream:
            request = json.load(stream)
        with np.load(os.path.join(folder, "arrays.npz"), allow_pickle=False) as archive:
            inputs = {name: archive[f"port{i}"] for i, name in enumerate(request["ports"])}
        _, result = run_network(request["network"], inputs, request["record"])
        names = sorted(result)
        np.savez(os.path.join(folder, "result.npz"), **{f"array{i}": result[name] for i, name in enumerate(names)})
        response = {"ok": True, "names": names, "versions": versions(), "seconds": time.time() - started}
    except BaseException as error:
        response = {"ok": False, "error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    partial = os.path.join(folder, "response.partial")
    with open(partial, "w", encoding="utf-8") as stream:
        json.dump(response, stream)
    os.replace(partial, os.path.join(folder, "response.json"))


def serve():
    """Answer requests from standard input until it closes; then end this whole process group."""
    requests = []
    arrived = threading.Condition()
    # Read below Python's own stdin object: Lava's child processes close that one, and would wait for its lock for ever.
    pipe = os.dup(0)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives

    def listen():
        pending = b""
        while True:
            received = os.read(pipe, 65536)
            if not received:
                break
            *lines, pending = (pending + received).split(b"\n")
            with arrived:
                requests.extend(line.decode() for line in lines)
                arrived.notify()
        # The host is gone, or done: take Lava's processes along.
        os.killpg(os.getpgid(0), signal.SIGTERM)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        with arrived:
            while not requests:
                arrived.wait()
            folder = requests.pop(0)
        answer(folder)


def run_file(network, source, target):
    """Run a file of spikes and write what came out."""
    described, _ = load_network(network)
    with np.load(source, allow_pickle=False) as archive:
        ports = described["ports"]
        names = [ports[0]["name"] if len(ports) == 1 and "spikes" in archive.files else port["name"] for port in ports]
        keys = ["spikes"] if len(ports) == 1 and "spikes" in archive.files else names
        inputs = {name: archive[key] for name, key in zip(names, keys, strict=True)}
        labels = archive["labels"] if "labels" in archive.files else None
    if any(array.dtype.kind not in "iub" for array in inputs.values()):
        sys.exit(f"{source}: the input must be integers; encode samples first")
    inputs = {name: array.reshape(*array.shape[:2], -1).astype(np.int64) for name, array in inputs.items()}
    for port in described["ports"]:
        given = inputs[port["name"]]
        if given.min() < port["low"] or given.max() > port["high"]:
            sys.exit(f"{port['name']}: values {given.min()} ... {given.max()} leave {port['low']} ... {port['high']}")
        if described["max_steps"] is not None and given.shape[1] > described["max_steps"]:
            sys.exit(
                f"{given.shape[1]} steps exceed {described['max_steps']}, for which this network's ranges were proved"
            )
    record = {"states": False}
    _, result = run_network(network, inputs, record)
    for layer in described["layers"]:
        if not layer["fires"] and result[f"spikes.{layer['name']}"].any():
            sys.exit(f"{layer['name']}: a layer that must only integrate has fired; the result is not valid")
    output = described["outputs"][0]
    late = described["latencies"][0]
    window = result[f"spikes.{output}"][:, late : late + next(iter(inputs.values())).shape[1]]
    readout = result[f"final_v.{output}"] if described["readout"] == "membrane" else window.sum(axis=1, dtype=np.int64)
    prediction = readout.argmax(axis=1)
    arrays = {"spikes": window, "readout": readout, "prediction": prediction}
    if labels is not None:
        arrays["labels"] = labels
        print(f"accuracy {np.mean(prediction == labels):.4f} of {len(labels)} samples")
    np.savez_compressed(target, **arrays)


def main():
    """Entry point of the worker's command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", default=os.path.dirname(os.path.abspath(__file__)), help="folder of network.json")
    parser.add_argument("--input", help="npz of spikes")
    parser.add_argument("--output", default="result.npz", help="npz to write")
    parser.add_argument("--serve", action="store_true", help="answer requests from standard input")
    options = parser.parse_args()
    if options.serve:
        serve()
    elif options.input:
        run_file(options.network, options.input, options.output)
    else:
        parser.error("give --input spikes.npz")


if __name__ == "__main__":
    main()
