"""What `report.json` holds. Every section is optional: a report shows what was done and says what was not.

The same classes are written and read: `neuroprivacy.experiments.summary` fills them, `check_report` refuses a file with
an unknown field, a wrong type or a number that is not finite. Sections that have no class here stand under `further`
and are shown as they are. Accuracies and rates are fractions of 1, energies joule, integers those of the chip.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from neuroprivacy.core.errors import ConfigurationError, Issue
from neuroprivacy.core.storage import plain
from neuroprivacy.energy.record import EnergyRecord

Fraction = Annotated[float, Field(ge=0, le=1)]
Number = int | float


@dataclass(frozen=True, kw_only=True)
class Section:
    """Base of all sections: immutable, finite numbers, no further fields."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class DatasetSection(Section):
    """The data set that was classified."""

    name: str
    test_samples: int | None = None
    classes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Model(Section):
    """The network before conversion; `spec` is its description as the trainer wrote it."""

    family: str | None = None
    parameters: int | None = None
    spec: Any = None


@dataclass(frozen=True, kw_only=True)
class StageRow(Section):
    """Accuracy at one pipeline stage: ann, converted, encrypted or integer."""

    name: str
    title: str | None = None
    accuracy: Fraction
    samples: Annotated[int, Field(ge=0)] | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class PredictionChange(Section):
    """How many predictions differ between two stages."""

    between: str
    changed: int
    samples: int


@dataclass(frozen=True, kw_only=True)
class LayerRow(Section):
    """One layer of the deployed network; what a backend could not see is None.

    `rate` is spikes per neuron and time step; `threshold` (mantissa) and `max_activation` are in integer steps of the
    weights, `max_current` and `max_membrane` in those of the membrane; `wraps` and `saturations` are over all samples;
    `weight_scale` is the real value of one integer step of a weight, `weight_levels` the number of distinct weights.
    """

    name: str
    neurons: int | None = None
    rate: Number | None = None
    spikes_per_inference: Number | None = None
    operations_per_inference: Number | None = None
    max_activation: Number | None = None
    max_current: Number | None = None
    max_membrane: Number | None = None
    threshold: Number | str | None = None
    wraps: int | None = None
    saturations: int | None = None
    weight_scale: Number | None = None
    weight_levels: int | None = None


@dataclass(frozen=True, kw_only=True)
class BackendRow(Section):
    """Whether a backend agreed with the reference in every integer that was compared."""

    samples: int
    identical: bool
    compared: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    versions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WeightChange(Section):
    """How far the retraining moved a layer's weights: |w' - w| / |w| and their cosine."""

    relative_distance: Number | None = None
    cosine: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Target(Section):
    """The chip; `membrane_limit` is the largest |v| (found by name for shipped targets)."""

    name: str
    title: str | None = None
    simulation_only: bool = False
    membrane_limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Report(Section):
    """A whole report, as `report.json` stores it."""

    title: str = "neuroprivacy report"
    command: str | None = None
    dataset: DatasetSection | None = None
    model: Model | None = None
    stages: tuple[StageRow, ...] = ()
    prediction_changes: tuple[PredictionChange, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    energy: EnergyRecord | None = None
    backends: dict[str, BackendRow] = field(default_factory=dict)
    issues: tuple[Issue, ...] | None = None
    weight_change: dict[str, WeightChange] = field(default_factory=dict)
    encoder: dict[str, Any] = field(default_factory=dict)
    target: Target | None = None
    program: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    privacy: dict[str, Any] | None = None
    further: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = plain(self)
        return values


def check_report(data: Mapping[str, Any]) -> Report:
    """The report that plain values describe, its names in the order in which `report.json` holds them.

    Raises:
        ConfigurationError: a field has the wrong type or an impossible value (all are named), or is not JSON.
    """
    try:
        return TypeAdapter(Report).validate_json(json.dumps(dict(data), allow_nan=False, sort_keys=True))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigurationError(f"report: {faults}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"report: holds what JSON cannot ({error})") from error
