"""A NIR file of another framework becomes integers, which two backends compute alike.

python examples/nir_file_to_integers.py [NETWORK.nir]
"""

import sys
import tempfile
from pathlib import Path

import nir
import numpy as np

import neuroprivacy as npv


def write_example(path: Path) -> Path:
    """A recurrent network as others write it: time constants in seconds, no time step, none of our metadata."""
    rng = np.random.default_rng(0)
    dt, tau = 1e-4, 2e-3
    full = np.ones(24)
    neurons = nir.LIF(tau=tau * full, r=tau / dt * full, v_leak=0 * full, v_threshold=full, v_reset=0 * full)
    nodes = {
        "input": nir.Input({"input": np.array([16])}),
        "fc": nir.Linear(weight=rng.normal(0, 0.4, (24, 16)).astype(np.float32)),
        "recurrent": nir.Linear(weight=rng.normal(0, 0.2, (24, 24)).astype(np.float32)),
        "lif": neurons,
        "output": nir.Output({"output": np.array([24])}),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "recurrent"), ("recurrent", "lif"), ("lif", "output")]
    nir.write(path, nir.NIRGraph(nodes=nodes, edges=edges))
    return path


def main(path: Path, folder: Path) -> int:
    """Read, lower, run twice, compare; returns the number of differences."""
    lowered = npv.lower(npv.load_nir(path), target="loihi2")
    program = lowered.program
    print(f"time step {program.provenance['dt_s']:g} s, latency {program.latency} steps")
    for layer in program.layers:
        print(
            f"{layer.name}: threshold {layer.threshold.min()}, decay {layer.dv.min()}/4096, unit {layer.scale[0]:.4g}"
        )
    for issue in lowered.diagnostics:
        print(f"diagnostic: {issue}")

    rng = np.random.default_rng(1)
    spikes = {port.name: (rng.random((8, 50, *port.shape)) < 0.3).astype(np.int64) for port in program.inputs}
    record = npv.Record(spikes=True, final=True)
    results = [
        npv.run(npv.build(program, backend=name, folder=folder / name), spikes=spikes, record=record)
        for name in ("reference", "fixedpoint")
    ]
    differences = npv.compare(*results)
    print(f"{int(results[0].spikes[program.outputs[0]].sum())} output spikes, {len(differences)} differences")
    return len(differences)


if __name__ == "__main__":
    scratch = Path(tempfile.mkdtemp(prefix="nir-"))
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else write_example(scratch / "example.nir"), scratch)
