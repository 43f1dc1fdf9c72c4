"""What every peer's script shares: the two commands, and one JSON per thing tried. Needs numpy and nir only.

    python <peer>_peer.py write FOLDER                              networks of the peer, through its own exporter
    python <peer>_peer.py read FILE INPUT.npz OUT.npz [FILE ...]    our files, through its own importer

`write` leaves in FOLDER `peer.json` (versions, what the peer computes) and for each network NAME.json, NAME.nir and
NAME.npz (inputs, spikes). `read` leaves beside each OUT.npz (spikes) an OUT.json. The JSON states what fails.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nir
import numpy as np

STEPS = 40
Run = Callable[[np.ndarray], np.ndarray]


@dataclass
class Network:
    """One network of the peer.

    Attributes:
        what: one line for people.
        shape: of the input of one step.
        run: inputs (T, *shape) -> outputs (T, n), computed by the peer itself.
        export: the NIR graph, made by the peer's own exporter.
        reading: under which reading of its neurons (hw_tests/interop/oracle.py) the file gives what `run` gives.
    """

    what: str
    shape: tuple[int, ...]
    run: Run
    export: Callable[[], Any]
    reading: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Peer:
    """A peer.

    Attributes:
        name: of its package.
        packages: whose versions are recorded.
        dt_s: time step that its own files assume.
        networks: name -> maker.
        load: (file, dt_s) -> what runs it.
        reading: node type -> how the peer computes it when it reads a file.
    """

    name: str
    packages: tuple[str, ...]
    dt_s: float
    networks: Mapping[str, Callable[[], Network]]
    load: Callable[[Path, float], Run]
    reading: dict[str, dict[str, Any]]


def draw_inputs(shape: tuple[int, ...]) -> np.ndarray:
    """Seeded input spikes, (STEPS, *shape), 0 or 1."""
    return (np.random.default_rng(11).random((STEPS, *shape)) < 0.4).astype(np.int64)


def draw_weights(seed: int, *shape: int, gain: float = 1.0) -> np.ndarray:
    """Seeded weights with a positive mean, so that layers fire."""
    fan_in = int(np.prod(shape[1:]))
    drawn = np.random.default_rng(seed).normal(0.35, 1.0, shape) * gain / np.sqrt(fan_in)
    return drawn.astype(np.float32)


def main(peer: Peer) -> None:
    """The command line."""
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "write":
        _write(peer, Path(arguments[1]))
    elif arguments[:1] == ["read"] and len(arguments) > 1 and len(arguments) % 3 == 1:
        for i in range(1, len(arguments), 3):
            source, given, target = map(Path, arguments[i : i + 3])
            _record(target.with_suffix(".json"), {}, lambda s=source, g=given, t=target: _read(peer, s, g, t))
    else:
        sys.exit(__doc__)


def _write(peer: Peer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "peer": peer.name,
        "versions": {package: version(package) for package in peer.packages},
        "python": ".".join(map(str, sys.version_info[:3])),
        "dt_s": peer.dt_s,
        "reading": peer.reading,
    }
    (folder / "peer.json").write_text(json.dumps(about, indent=2))
    for name, make in peer.networks.items():
        known: dict[str, Any] = {}
        _record(folder / f"{name}.json", known, lambda n=name, m=make, k=known: _write_one(m(), folder / n, k))


def _write_one(network: Network, stem: Path, known: dict[str, Any]) -> None:
    known |= {"what": network.what, "reading": network.reading}
    stem.with_suffix(".nir").unlink(missing_ok=True)
    inputs = draw_inputs(network.shape)
    np.savez(stem.with_suffix(".npz"), inputs=inputs, spikes=network.run(inputs))
    graph = network.export()
    try:
        nir.write(stem.with_suffix(".nir"), graph)
    except Exception:
        stem.with_suffix(".nir").unlink(missing_ok=True)
        raise


def _read(peer: Peer, source: Path, given: Path, target: Path) -> None:
    with np.load(given, allow_pickle=False) as arrays:
        inputs, dt_s = arrays["inputs"], float(arrays["dt_s"])
    spikes = np.asarray(peer.load(source, dt_s)(inputs), np.float64)
    np.savez(target, spikes=spikes.reshape(len(inputs), -1))


def _record(path: Path, known: dict[str, Any], action: Callable[[], None]) -> None:
    """Do it, and write how it went; `known` is filled by the action."""
    said = io.StringIO()
    error = trace = None
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            action()
    except Exception as exception:
        error, trace = _text(exception), traceback.format_exc()
    path.write_text(
        json.dumps({**known, "error": error, "traceback": trace, "said": said.getvalue()[-2000:]}, indent=2)
    )


def _text(exception: Exception) -> str:
    """One line, without the places of this machine."""
    line = re.sub(r"\s+", " ", str(exception)).strip()
    line = re.sub(r"/\S+/", "…/", line)
    return f"{type(exception).__name__}: {line}"[:300]
