"""neuroprivacy: spiking networks from a trained ANN to the integers a chip computes, with measured privacy.

Every public function, with its option and result types, is flat here and loaded on first use, so that importing the
package costs nothing:

    train ─► synthesize ─► convert ─► encrypt ─► to_nir ─► lower ─► build ─► run ─► report

The table is what Python loads, the block under TYPE_CHECKING is what type checkers read; a test holds them equal.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from neuroprivacy.conversion import (
        ThresholdMethod as ThresholdMethod,
        convert as convert,
    )
    from neuroprivacy.core.errors import (
        BackendNotFound as BackendNotFound,
        BackendUnavailable as BackendUnavailable,
        BadFile as BadFile,
        CheckFailed as CheckFailed,
        ConfigurationError as ConfigurationError,
        DataNotFound as DataNotFound,
        DoesNotFit as DoesNotFit,
        Issue as Issue,
        NeuroPrivacyError as NeuroPrivacyError,
        OutOfRange as OutOfRange,
        UnsupportedNode as UnsupportedNode,
        WorkerFailed as WorkerFailed,
    )
    from neuroprivacy.data import (
        Dataset as Dataset,
        dataset_names as dataset_names,
        load_dataset as load_dataset,
        load_spikes as load_spikes,
        save_spikes as save_spikes,
    )
    from neuroprivacy.divergence import (
        Divergence as Divergence,
        DivergenceReport as DivergenceReport,
        LayerDivergence as LayerDivergence,
        trace as trace,
    )
    from neuroprivacy.encryption import (
        Encrypted as Encrypted,
        EncryptionSettings as EncryptionSettings,
        WeightChange as WeightChange,
        encrypt as encrypt,
    )
    from neuroprivacy.energy import (
        ChipEnergy as ChipEnergy,
        EnergyReport as EnergyReport,
        LayerWork as LayerWork,
        ModelEnergy as ModelEnergy,
        Work as Work,
        measure_energy as measure_energy,
    )
    from neuroprivacy.experiments.target_check import (
        check_target as check_target,
    )
    from neuroprivacy.export import (
        from_nir as from_nir,
        to_nir as to_nir,
    )
    from neuroprivacy.graph import (
        GraphInfo as GraphInfo,
        load_nir as load_nir,
        read_info as read_info,
        save_nir as save_nir,
    )
    from neuroprivacy.lowering import (
        LowerOptions as LowerOptions,
        Lowered as Lowered,
        lower as lower,
    )
    from neuroprivacy.mapping import (
        Placement as Placement,
        place as place,
    )
    from neuroprivacy.networks import (
        Checkpoint as Checkpoint,
        ModelSpec as ModelSpec,
        SpikingNetwork as SpikingNetwork,
        SpikingNeuron as SpikingNeuron,
        SpikingOutput as SpikingOutput,
        SpikingSpec as SpikingSpec,
        Surrogate as Surrogate,
        build_ann as build_ann,
        build_snn as build_snn,
        load_checkpoint as load_checkpoint,
        model_spec as model_spec,
        quantize_weights as quantize_weights,
        save_checkpoint as save_checkpoint,
        set_threads as set_threads,
    )
    from neuroprivacy.program import (
        Program as Program,
        load_program as load_program,
        save_program as save_program,
    )
    from neuroprivacy.reporting import (
        Report as Report,
        report as report,
    )
    from neuroprivacy.runtime.backend import (
        Artifact as Artifact,
        Backend as Backend,
        Inputs as Inputs,
        Record as Record,
        RunResult as RunResult,
        backend_names as backend_names,
        build as build,
        load_backend as load_backend,
        run as run,
    )
    from neuroprivacy.runtime.compare import (
        Difference as Difference,
        compare as compare,
    )
    from neuroprivacy.runtime.counts import (
        Counts as Counts,
        LayerCounts as LayerCounts,
    )
    from neuroprivacy.runtime.exported import (
        open_artifact as open_artifact,
    )
    from neuroprivacy.runtime.reference import (
        run_reference as run_reference,
    )
    from neuroprivacy.runtime.results import (
        Simulation as Simulation,
    )
    from neuroprivacy.runtime.sharding import (
        simulate_sharded as simulate_sharded,
    )
    from neuroprivacy.runtime.simulation import (
        encode_samples as encode_samples,
        simulate as simulate,
    )
    from neuroprivacy.synthesis.calibration import (
        load_calibration as load_calibration,
    )
    from neuroprivacy.synthesis.class_impressions import (
        SynthesisSettings as SynthesisSettings,
        SyntheticSet as SyntheticSet,
        load_synthetic as load_synthetic,
        synthesize as synthesize,
    )
    from neuroprivacy.targets.spec import (
        TargetSpec as TargetSpec,
        load_target as load_target,
        target_names as target_names,
    )
    from neuroprivacy.testing import (
        ConformanceReport as ConformanceReport,
        check_backend as check_backend,
    )
    from neuroprivacy.training import (
        FitSettings as FitSettings,
        accuracy as accuracy,
        event_logits as event_logits,
        logits as logits,
        train as train,
        train_on_events as train_on_events,
    )
    from neuroprivacy.training.quantized_start import (
        quantized_start as quantized_start,
    )


#: Public name -> module that defines it.
_PUBLIC = {
    "Artifact": "neuroprivacy.runtime.backend",
    "Backend": "neuroprivacy.runtime.backend",
    "BackendNotFound": "neuroprivacy.core.errors",
    "BackendUnavailable": "neuroprivacy.core.errors",
    "BadFile": "neuroprivacy.core.errors",
    "CheckFailed": "neuroprivacy.core.errors",
    "Checkpoint": "neuroprivacy.networks",
    "ChipEnergy": "neuroprivacy.energy",
    "ConfigurationError": "neuroprivacy.core.errors",
    "ConformanceReport": "neuroprivacy.testing",
    "Counts": "neuroprivacy.runtime.counts",
    "DataNotFound": "neuroprivacy.core.errors",
    "Dataset": "neuroprivacy.data",
    "Difference": "neuroprivacy.runtime.compare",
    "Divergence": "neuroprivacy.divergence",
    "DivergenceReport": "neuroprivacy.divergence",
    "DoesNotFit": "neuroprivacy.core.errors",
    "Encrypted": "neuroprivacy.encryption",
    "EncryptionSettings": "neuroprivacy.encryption",
    "EnergyReport": "neuroprivacy.energy",
    "FitSettings": "neuroprivacy.training",
    "GraphInfo": "neuroprivacy.graph",
    "Inputs": "neuroprivacy.runtime.backend",
    "Issue": "neuroprivacy.core.errors",
    "LayerCounts": "neuroprivacy.runtime.counts",
    "LayerDivergence": "neuroprivacy.divergence",
    "LayerWork": "neuroprivacy.energy",
    "LowerOptions": "neuroprivacy.lowering",
    "Lowered": "neuroprivacy.lowering",
    "ModelEnergy": "neuroprivacy.energy",
    "ModelSpec": "neuroprivacy.networks",
    "NeuroPrivacyError": "neuroprivacy.core.errors",
    "OutOfRange": "neuroprivacy.core.errors",
    "Placement": "neuroprivacy.mapping",
    "Program": "neuroprivacy.program",
    "Record": "neuroprivacy.runtime.backend",
    "Report": "neuroprivacy.reporting",
    "RunResult": "neuroprivacy.runtime.backend",
    "Simulation": "neuroprivacy.runtime.results",
    "SpikingNetwork": "neuroprivacy.networks",
    "SpikingNeuron": "neuroprivacy.networks",
    "SpikingOutput": "neuroprivacy.networks",
    "SpikingSpec": "neuroprivacy.networks",
    "Surrogate": "neuroprivacy.networks",
    "SynthesisSettings": "neuroprivacy.synthesis.class_impressions",
    "SyntheticSet": "neuroprivacy.synthesis.class_impressions",
    "TargetSpec": "neuroprivacy.targets.spec",
    "ThresholdMethod": "neuroprivacy.conversion",
    "UnsupportedNode": "neuroprivacy.core.errors",
    "WeightChange": "neuroprivacy.encryption",
    "Work": "neuroprivacy.energy",
    "WorkerFailed": "neuroprivacy.core.errors",
    "accuracy": "neuroprivacy.training",
    "backend_names": "neuroprivacy.runtime.backend",
    "build": "neuroprivacy.runtime.backend",
    "build_ann": "neuroprivacy.networks",
    "build_snn": "neuroprivacy.networks",
    "check_backend": "neuroprivacy.testing",
    "check_target": "neuroprivacy.experiments.target_check",
    "compare": "neuroprivacy.runtime.compare",
    "convert": "neuroprivacy.conversion",
    "dataset_names": "neuroprivacy.data",
    "encode_samples": "neuroprivacy.runtime.simulation",
    "encrypt": "neuroprivacy.encryption",
    "event_logits": "neuroprivacy.training",
    "from_nir": "neuroprivacy.export",
    "load_backend": "neuroprivacy.runtime.backend",
    "load_calibration": "neuroprivacy.synthesis.calibration",
    "load_checkpoint": "neuroprivacy.networks",
    "load_dataset": "neuroprivacy.data",
    "load_nir": "neuroprivacy.graph",
    "load_program": "neuroprivacy.program",
    "load_spikes": "neuroprivacy.data",
    "load_synthetic": "neuroprivacy.synthesis.class_impressions",
    "load_target": "neuroprivacy.targets.spec",
    "logits": "neuroprivacy.training",
    "lower": "neuroprivacy.lowering",
    "measure_energy": "neuroprivacy.energy",
    "model_spec": "neuroprivacy.networks",
    "open_artifact": "neuroprivacy.runtime.exported",
    "place": "neuroprivacy.mapping",
    "quantize_weights": "neuroprivacy.networks",
    "quantized_start": "neuroprivacy.training.quantized_start",
    "read_info": "neuroprivacy.graph",
    "report": "neuroprivacy.reporting",
    "run": "neuroprivacy.runtime.backend",
    "run_reference": "neuroprivacy.runtime.reference",
    "save_checkpoint": "neuroprivacy.networks",
    "save_nir": "neuroprivacy.graph",
    "save_program": "neuroprivacy.program",
    "save_spikes": "neuroprivacy.data",
    "set_threads": "neuroprivacy.networks",
    "simulate": "neuroprivacy.runtime.simulation",
    "simulate_sharded": "neuroprivacy.runtime.sharding",
    "synthesize": "neuroprivacy.synthesis.class_impressions",
    "target_names": "neuroprivacy.targets.spec",
    "to_nir": "neuroprivacy.export",
    "trace": "neuroprivacy.divergence",
    "train": "neuroprivacy.training",
    "train_on_events": "neuroprivacy.training",
}

__all__ = ["__version__", *_PUBLIC]

if not TYPE_CHECKING:  # with it, type checkers would take any misspelt name for public

    def __getattr__(name: str) -> Any:
        """Load a public name from its module on first use."""
        if name not in _PUBLIC:
            raise AttributeError(f"module 'neuroprivacy' has no attribute {name!r}")
        return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names, for `dir(neuroprivacy)` and tab completion."""
    return sorted(__all__)
