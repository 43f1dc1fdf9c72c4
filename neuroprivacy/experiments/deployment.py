"""The end-to-end pipeline once: ANN → synthetic images → SNN → class encryption → NIR → Program → backends → report.

Each stage is stored in the run folder; a resumed run takes up finished stages that were made with the same settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuroprivacy.core.errors import CheckFailed
from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.core.storage import sweep_temporaries
from neuroprivacy.data import Dataset
from neuroprivacy.experiments.deployed import Deployed, deploy
from neuroprivacy.experiments.networks import make_networks
from neuroprivacy.experiments.settings import DeploymentSettings
from neuroprivacy.experiments.summary import summarize
from neuroprivacy.reporting import write_report


def run_deployment(
    dataset: Dataset,
    *,
    settings: DeploymentSettings,
    folder: Path,
    resume: bool = False,
    device: str = "cpu",
    command: str = "",
    progress: Callable[[str], Progress] = lambda stage: silent,
) -> dict[str, Any]:
    """Run every stage and write the report.

    Args:
        dataset: the ANN trains on its training split; nothing after that sees it. The test split is used to measure.
        settings: everything else.
        folder: run folder; `report.html` and `report.json` are written there.
        resume: take up finished stages.
        device: torch device of training.
        command: stored in the report.
        progress: stage name -> progress of that stage.

    Returns:
        The content of `report.json`.

    Raises:
        CheckFailed: a backend differs from the reference; the report is written before.
    """
    started = time.perf_counter()
    sweep_temporaries(folder)
    stages = make_networks(dataset, settings=settings, folder=folder, resume=resume, device=device, progress=progress)
    deployed = deploy(
        stages.encrypted,
        dataset,
        settings=settings,
        folder=folder,
        progress=progress,
        expected=stages.prediction,
    )
    report = summarize(dataset, settings=settings, stages=stages, deployed=deployed, command=command)
    data = report.to_dict()
    data["timing"]["seconds"]["total"] = round(time.perf_counter() - started, 2)
    write_report(folder, data)
    _must_agree(deployed)
    return data


def _must_agree(deployed: Deployed) -> None:
    differing = [f"{name}: {'; '.join(v.differences[:3])}" for name, v in deployed.verdicts.items() if not v.identical]
    if differing:
        raise CheckFailed("backends differ from the reference:\n" + "\n".join(differing))
