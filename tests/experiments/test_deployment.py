"""The whole way as one function: stages are stored, resumed and never mixed up; disagreement is a failure."""

from dataclasses import replace
from pathlib import Path

import pytest

from neuroprivacy.core.errors import CheckFailed
from neuroprivacy.core.storage import read_json
from neuroprivacy.data import Dataset, load_dataset
from neuroprivacy.experiments import deployed as deployed_module
from neuroprivacy.experiments.deployment import DeploymentSettings, run_deployment
from neuroprivacy.experiments.presets import default_deployment, default_training
from neuroprivacy.reporting import load_report
from neuroprivacy.runtime.compare import Difference

STAGES = ("ann", "synthetic", "converted", "encrypted")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits").subset(train=300, test=80)


@pytest.fixture(scope="module")
def settings(digits: Dataset) -> DeploymentSettings:
    base = default_deployment(digits, family="mlp", hidden=(24,))
    return replace(
        base,
        training=replace(base.training, epochs=6, lr=1e-2),
        synthesis=replace(base.synthesis, count=60, iterations=10),
        encryption=replace(base.encryption, fit=replace(base.encryption.fit, epochs=1)),
        steps=6, backends=("fixedpoint",), verify_samples=12,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(digits: Dataset, settings: DeploymentSettings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("run")
    return folder, run_deployment(digits, settings=settings, folder=folder, command="test")


def stamps(folder: Path) -> dict[str, int]:
    return {name: (folder / name / "stage.json").stat().st_mtime_ns for name in STAGES}


@pytest.mark.slow
def test_every_stage_and_the_report_are_kept(run: tuple[Path, dict]) -> None:
    folder, data = run
    for name in STAGES:
        assert (folder / name / "stage.json").exists()
        assert not (folder / name / "training.pt").exists()
    assert (folder / "network.nir").exists()
    assert (folder / "report.html").exists()
    assert [s["name"] for s in data["stages"]] == ["ann", "converted", "encrypted", "integer"]
    assert data["backends"]["fixedpoint"]["identical"]
    assert data["backends"]["fixedpoint"]["samples"] == 12
    assert data["command"] == "test"
    assert data["provenance"]["settings"]["steps"] == 6
    assert data["stages"][0]["accuracy"] > 0.5
    assert data["target"]["membrane_limit"] == 2**23 - 1
    assert load_report(folder) == data or load_report(folder)["stages"] == data["stages"]


@pytest.mark.slow
def test_resume_takes_up_what_is_there(run: tuple[Path, dict], digits: Dataset, settings: DeploymentSettings) -> None:
    folder, data = run
    before = stamps(folder)
    again = run_deployment(digits, settings=settings, folder=folder, resume=True)
    assert stamps(folder) == before
    assert [s["accuracy"] for s in again["stages"]] == [s["accuracy"] for s in data["stages"]]
    assert again["program"]["content_hash"] == data["program"]["content_hash"]


@pytest.mark.slow
def test_a_changed_setting_remakes_its_stage_and_those_behind(
    run: tuple[Path, dict], digits: Dataset, settings: DeploymentSettings
) -> None:
    folder, _ = run
    before = stamps(folder)
    run_deployment(digits, settings=replace(settings, steps=5), folder=folder, resume=True)
    after = stamps(folder)
    assert {name for name in STAGES if after[name] != before[name]} == {"converted", "encrypted"}


@pytest.mark.slow
def test_another_run_gives_the_same_program(
    run: tuple[Path, dict], digits: Dataset, settings: DeploymentSettings, tmp_path: Path
) -> None:
    _, data = run
    again = run_deployment(digits, settings=settings, folder=tmp_path)
    assert again["program"]["content_hash"] == data["program"]["content_hash"]


@pytest.mark.slow
def test_a_backend_that_differs_is_a_failure_with_a_report(
    digits: Dataset, settings: DeploymentSettings, run: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = run
    fault = Difference(quantity="spikes", layer="fcact1", index=(0, 1, 2), expected=1, got=0, total=3)
    monkeypatch.setattr(deployed_module, "compare", lambda expected, got: (fault,))
    with pytest.raises(CheckFailed, match=r"fixedpoint: fcact1: spikes differs in 3 values") as caught:
        run_deployment(digits, settings=settings, folder=folder, resume=True)
    assert caught.value.exit_code == 1
    assert read_json(folder / "report.json")["backends"]["fixedpoint"]["identical"] is False


def test_presets_fit_their_data() -> None:
    assert default_training("mnist").batch_size == 128
    assert default_training("anything else").epochs == 200
    chosen = default_deployment(load_dataset("digits"), seed=7, threads=1)
    assert chosen.model.family == "convnet"
    assert {chosen.seed, chosen.training.seed, chosen.synthesis.seed, chosen.encryption.fit.seed} == {7}
    assert default_deployment(load_dataset("iris")).model.family == "mlp"
