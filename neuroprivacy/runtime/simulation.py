"""A whole data set through a deployed network, in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy.program.encoder import encode, encoder_from
from neuroprivacy.runtime.backend import Artifact, Record, RunResult, inputs_as_given, load_backend
from neuroprivacy.runtime.counts import Counts, join_counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """What a data set gave.

    Attributes:
        readout: int64 (samples, outputs).
        prediction: int64 (samples,).
        counts: per sample.
        versions: of what ran.
    """

    readout: Int64
    prediction: Int64
    counts: Counts
    versions: dict[str, str]

    def accuracy(self, labels: NDArray[np.int64]) -> float:
        """Fraction of right predictions."""
        return float((self.prediction == labels).mean())


def encode_samples(program: Program, samples: NDArray[np.float32], *, first: int = 0) -> NDArray[np.int16]:
    """Samples in [0, 1] as the Program's own encoder makes them: (samples, T, *port shape).

    Raises:
        ConfigurationError: the Program has no encoder (it takes events), or more than one port.
    """
    if not program.encoder or len(program.inputs) != 1:
        raise ConfigurationError("input: this program has no encoder; give spikes with --input")
    spikes = encode(samples, encoder=encoder_from(program.encoder), first=first)
    if program.encoder.get("on_off_channels"):
        return np.concatenate([np.maximum(spikes, 0), np.maximum(-spikes, 0)], axis=2)
    return spikes


def simulate(
    artifact: Artifact,
    *,
    samples: NDArray[np.float32],
    chunk: int = 250,
    first: int = 0,
    progress: Progress = silent,
) -> Simulation:
    """Encode and run samples.

    Args:
        artifact: a built Program with an encoder.
        samples: (samples, *shape) in [0, 1].
        chunk: samples encoded and run at once.
        first: number of the first sample in its data set.
        progress: told after each chunk.
    """

    def encoded(here: slice) -> NDArray[np.int16]:
        """Some samples as spikes."""
        return encode_samples(artifact.program, samples[here], first=first + here.start)

    readouts, counts = [], []
    versions: dict[str, str] = {}
    for result in run_chunks(artifact, encoded, samples=len(samples), chunk=chunk, progress=progress):
        readouts.append(result.readout)
        counts.append(result.counts)
        versions = dict(result.versions)
    readout = np.concatenate(readouts)
    return Simulation(readout=readout, prediction=readout.argmax(axis=1), counts=join_counts(counts), versions=versions)


def run_chunks(
    artifact: Artifact,
    given: Callable[[slice], NDArray[Any]],
    *,
    samples: int,
    chunk: int = 250,
    progress: Progress = silent,
) -> Iterator[RunResult]:
    """Run many samples, some at a time: memory stays bounded, progress is told, an interrupt is heard.

    Args:
        artifact: a built Program with one input port.
        given: which samples -> their integers, (samples, T, ...).
        samples: in all.
        chunk: samples run at once.
        progress: told after each chunk.

    Raises:
        ConfigurationError: there are none, or they do not fit the Program.
    """
    if samples < 1 or chunk < 1:
        raise ConfigurationError(f"simulate: {samples} samples in chunks of {chunk} cannot be run")
    backend = load_backend(artifact.backend)
    for begin in range(0, samples, chunk):
        here = slice(begin, min(begin + chunk, samples))
        yield backend.run(artifact, inputs_as_given(artifact.program, given(here)), Record())
        progress(here.stop, samples, artifact.backend)
