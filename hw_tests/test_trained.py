"""Trained networks on the target: the reference's integers on every sample, and the accuracy that comes with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from targets import Target
from trained import NETWORKS, data_of, drawn_images, images, trained_program

from neuroprivacy.runtime.backend import Backend, Record, build, check_inputs
from neuroprivacy.runtime.compare import compare
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.runtime.simulation import encode_samples, simulate

#: Samples that are compared spike by spike.
SAMPLES = {"fixedpoint": 1000, "lava": 20, "c-host": 1000}
ON_A_BOARD, NOISE = 20, 4
NO_DATA = "not run: the data set is not here; set NEUROPRIVACY_DATA"


@pytest.mark.parametrize("name", NETWORKS)
def test_every_spike(
    name: str, backend: Backend, target: Target, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    hold(name, backend, target, tmp_path, images(name, SAMPLES.get(target.name, ON_A_BOARD)))
    if target.name.startswith("cortex-"):
        record_property(f"{name} stack_used", backend.stack_bytes)


@pytest.mark.parametrize("name", NETWORKS)
def test_noise(name: str, backend: Backend, target: Target, tmp_path: Path) -> None:
    """For machines without the data set."""
    hold(name, backend, target, tmp_path, drawn_images(name, NOISE))


def hold(name: str, backend: Backend, target: Target, folder: Path, samples: np.ndarray | None) -> None:
    """Every spike and membrane of every layer on these samples."""
    program = trained_program(name)
    refusals = [str(issue) for issue in backend.check(program) if issue.fatal]
    if refusals:
        assert target.bounded, refusals
        pytest.skip(f"not run: {'; '.join(refusals)}")
    if samples is None:
        pytest.skip(NO_DATA)
    inputs = check_inputs(program, encode_samples(program, samples))
    record = Record(spikes=True, final=True)
    got = backend.run(backend.build(program, folder), inputs, record)
    assert compare(run_reference(program, inputs, record=record), got) == ()


@pytest.mark.only("c-host")
@pytest.mark.parametrize("name", NETWORKS)
def test_accuracy_is_the_simulators(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    data = data_of(name)
    if data is None:
        pytest.skip(NO_DATA)
    program = trained_program(name)
    done = {
        each: simulate(build(program, backend=each, folder=tmp_path / each), images=data.test_images)
        for each in ("fixedpoint", "c99")
    }
    assert np.array_equal(done["c99"].readout, done["fixedpoint"].readout)
    assert done["c99"].accuracy(data.test_labels) > 0.9
    record_property(f"{name} images", len(data.test_labels))
    record_property(f"{name} right", int((done["c99"].prediction == data.test_labels).sum()))
