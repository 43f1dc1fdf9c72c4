"""What every run of a network gives: readouts, counts and versions; prediction and accuracy follow from them.

ReadoutResult
├── RunResult      one call of a backend: output spikes and recorded states too  (runtime/backend.py)
└── Simulation     many samples, batch by batch or shard by shard, with their labels where these are known
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.runtime.counts import Counts, join_counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadoutResult:
    """Readouts of S samples.

    Attributes:
        readout: int64 (S, neurons of the first output).
        counts: spikes, synaptic operations, updates, extremes per layer and sample.
        versions: of everything that ran.
    """

    readout: Int64
    counts: Counts
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def prediction(self) -> Int64:
        """Index of the largest readout, the lowest index on ties, int64 (S,)."""
        return np.asarray(np.argmax(self.readout, axis=1), np.int64)

    def accuracy(self, labels: NDArray[np.integer]) -> float:
        """Fraction of predictions that equal `labels`, (S,)."""
        return float((self.prediction == labels).mean())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation(ReadoutResult):
    """Readouts of many samples.

    Attributes:
        spikes: uint8 (S, T, neurons of the first output); None where they are not stored.
        labels: int64 (S,); None where they are not known.
    """

    spikes: NDArray[np.uint8] | None = None
    labels: Int64 | None = None

    def accuracy(self, labels: NDArray[np.integer] | None = None) -> float:
        """Fraction of predictions that equal `labels`, by default the result's own.

        Raises:
            ConfigurationError: there are no labels.
        """
        known = self.labels if labels is None else labels
        if known is None:
            raise ConfigurationError("accuracy: no labels are known; give them")
        return ReadoutResult.accuracy(self, known)


def join_results(
    results: Sequence[ReadoutResult], *, spikes: NDArray[np.uint8] | None = None, labels: Int64 | None = None
) -> Simulation:
    """Results of consecutive samples as one, with the versions of the last."""
    return Simulation(
        readout=np.concatenate([each.readout for each in results]),
        counts=join_counts([each.counts for each in results]), versions=dict(results[-1].versions),
        spikes=spikes, labels=labels,
    )  # fmt: skip
