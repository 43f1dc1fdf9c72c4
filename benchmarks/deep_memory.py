"""How much memory training a deep network takes, with its states kept or computed a second time.

    python -m benchmarks.deep_memory BATCH STEPS {kept,again}     one case; prints a line of JSON

VGG16 on 32 x 32 images, soft reset; one forward and backward pass in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from neuroprivacy.core.provenance import machine, versions

THREADS = 2
#: Time steps: those of PrivateSNN on CIFAR-10.
STEPS = 150
BATCHES = (2, 4, 8)
WAYS = ("kept", "again")


def measure_memory(*, steps: int = STEPS, batches: tuple[int, ...] = BATCHES) -> dict[str, Any]:
    """All cases, one after another."""
    cases = []
    for batch in batches:
        for way in WAYS:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.deep_memory", str(batch), str(steps), way]
            finished = subprocess.run(command, check=True, capture_output=True, text=True)
            cases.append({"batch": batch, "way": way, **json.loads(finished.stdout)})
    return {"steps": steps, "threads": THREADS, "cases": cases, "machine": machine(), "versions": versions()}


def main(batch: int, steps: int, way: str) -> None:
    """One case."""
    import torch

    from neuroprivacy.networks import SpikingSpec, build_snn, model_spec, set_threads, spiking_input

    set_threads(THREADS)
    torch.manual_seed(0)
    model = model_spec("vgg16", input_shape=(3, 32, 32), classes=10)
    net = build_snn(model, SpikingSpec(coding="poisson", time_steps=steps, reset="soft")).train()
    net.recompute = way == "again"
    for neurons in net.neurons().values():
        neurons.threshold.fill_(0.2)  # so that an untrained network fires
    x = spiking_input(torch.rand(batch, 3, 32, 32), spec=net.spec)
    before, begun = _peak(), time.perf_counter()
    net(x).readout.square().sum().backward()
    print(
        json.dumps(
            {
                "bytes": _peak() - before,
                "seconds": time.perf_counter() - begun,
                "gradient": sum(float(p.grad.double().abs().sum()) for p in net.parameters() if p.grad is not None),
            }
        )
    )


def _peak() -> int:
    """The largest resident size so far, bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
