"""Energy as it is written to `report.json` and printed by `--json`: the fields below and no others.

`EnergyReport.record` fills them; the report's reader checks a file against the same classes. Energies are joule per
inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class StrictRecord:
    """Base: a reader that checks types with pydantic refuses unknown fields."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class WorkRecord(StrictRecord):
    """Work of one inference, means over samples; see `Work`."""

    neurons: int
    firing: int
    spikes: float
    operations: float
    graded_operations: float
    updates: float
    update_additions: float
    update_multiplications: float
    macs: int
    steps: int
    spikes_per_neuron: float
    rate: float
    spikes_per_synapse: float | None


@dataclass(frozen=True, kw_only=True)
class PairRecord(StrictRecord):
    """ANN and SNN, of one layer or the whole network, under one cost model; see `ModelEnergy`."""

    name: str
    ann_j: float
    snn_j: float
    updates_j: float
    snn_with_updates_j: float
    ratio: float | None
    ratio_with_updates: float | None
    rate_model_ratio: float | None
    break_even_spikes_per_synapse: float
    break_even_with_updates: float | None


@dataclass(frozen=True, kw_only=True)
class ModelRecord(PairRecord):
    """The whole network under one cost model, with the model's own constants; see `CostModel`."""

    title: str
    mac_j: float
    ac_j: float
    leaves_out: str
    source: str


@dataclass(frozen=True, kw_only=True)
class LayerRecord(WorkRecord):
    """The work of one layer, and its energy under each cost model."""

    name: str
    models: tuple[PairRecord, ...]


@dataclass(frozen=True, kw_only=True)
class ChipRecord(StrictRecord):
    """The SNN under the chip's own figures; see `ChipCosts`."""

    name: str
    synaptic_op_j: float
    neuron_update_j: float
    spike_j: float
    synapses_j: float
    updates_j: float
    spikes_j: float
    total_j: float
    leaves_out: str
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EnergyRecord(StrictRecord):
    """Energy of one inference under every cost model at once; see `EnergyReport`."""

    samples: int
    total: WorkRecord
    layers: tuple[LayerRecord, ...]
    models: tuple[ModelRecord, ...]
    chip: ChipRecord | None
    notes: tuple[str, ...]
