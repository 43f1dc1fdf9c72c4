"""A whole data set through a deployed network, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.program import Program
from neuroprivacy.program.encoder import encode, encoder_from
from neuroprivacy.runtime.backend import Artifact, Record, RunResult, inputs_as_given, load_backend
from neuroprivacy.runtime.results import ReadoutResult, Simulation, join_results


def encode_samples(program: Program, images: NDArray[np.float32], *, first: int = 0) -> NDArray[np.int16]:
    """Images in [0, 1], encoded by the Program's own encoder: (samples, T, *port shape).

    Raises:
        ConfigurationError: the Program has no encoder (it takes events), or more than one port.
    """
    if not program.encoder or len(program.inputs) != 1:
        raise ConfigurationError("input: this program has no encoder; give spikes with --input")
    spikes = encode(images, encoder=encoder_from(program.encoder), first=first)
    if program.encoder.get("on_off_channels"):
        return np.concatenate([np.maximum(spikes, 0), np.maximum(-spikes, 0)], axis=2)
    return spikes


def simulate(
    artifact: Artifact,
    *,
    images: NDArray[np.float32],
    batch: int = 250,
    first: int = 0,
    progress: Progress = silent,
) -> Simulation:
    """Encode images and run them through a built Program.

    Args:
        artifact: a built Program with an encoder.
        images: (samples, *shape) in [0, 1].
        batch: samples encoded and run at once.
        first: number of the first sample in its data set.
        progress: called after each batch.
    """

    def encoded(here: slice) -> NDArray[np.int16]:
        """The samples of a slice as spikes."""
        return encode_samples(artifact.program, images[here], first=first + here.start)

    run = run_batches(artifact, encoded, samples=len(images), batch=batch, progress=progress)
    return join_results([_without_spikes(result) for result in run])


def _without_spikes(result: RunResult) -> ReadoutResult:
    """What is kept of each batch, spikes left out, so that memory stays bounded."""
    return ReadoutResult(readout=result.readout, counts=result.counts, versions=result.versions)


def run_batches(
    artifact: Artifact,
    given: Callable[[slice], NDArray[Any]],
    *,
    samples: int,
    batch: int = 250,
    progress: Progress = silent,
) -> Iterator[RunResult]:
    """Run many samples batch by batch: memory stays bounded, progress is reported, an interrupt acts between batches.

    Args:
        artifact: a built Program with one input port.
        given: which samples -> their integers, (samples, T, ...).
        samples: in all.
        batch: samples run at once.
        progress: called after each batch.

    Raises:
        ConfigurationError: there are none, or they do not fit the Program.
    """
    if samples < 1 or batch < 1:
        raise ConfigurationError(f"simulate: {samples} samples in batches of {batch} cannot be run")
    backend = load_backend(artifact.backend)
    for begin in range(0, samples, batch):
        here = slice(begin, min(begin + batch, samples))
        yield backend.run(artifact, inputs_as_given(artifact.program, given(here)), Record())
        progress(here.stop, samples, artifact.backend)
