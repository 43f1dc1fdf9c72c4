"""A data set in batches is the data set at once."""

import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.program import Port, Program
from neuroprivacy.runtime.backend import Artifact, Record, check_inputs
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.runtime.simulation import encode_samples, simulate
from neuroprivacy.testing.case import edge, layer, network

RNG = np.random.default_rng(6)
SAMPLES = RNG.random((23, 5)).astype(np.float32)
ENCODER = {"coding": "poisson", "steps": 9, "seed": 4}


def program(**changes: object) -> Program:
    layers = [
        layer("a", [edge("input", RNG.integers(-90, 127, (7, 5)))], threshold=80),
        layer("b", [edge("a", RNG.integers(-90, 127, (3, 7)))], threshold=60, bias=5),
    ]
    made = network(layers, inputs=(Port(name="input", shape=(5,), **changes),))
    return Program(**{**{f: getattr(made, f) for f in made.__dataclass_fields__}, "encoder": ENCODER})


def artifact(made: Program, tmp_path) -> Artifact:
    return Artifact(backend="reference", folder=tmp_path, program=made)


@pytest.mark.parametrize("batch", [1, 4, 23, 100])
def test_batches_do_not_matter(batch: int, tmp_path) -> None:
    made = program()
    seen: list[tuple[int, int]] = []
    found = simulate(
        artifact(made, tmp_path), images=SAMPLES, batch=batch, progress=lambda a, b, _: seen.append((a, b))
    )
    whole = run_reference(made, check_inputs(made, encode_samples(made, SAMPLES)), record=Record())
    np.testing.assert_array_equal(found.readout, whole.readout)
    np.testing.assert_array_equal(found.prediction, whole.prediction)
    assert found.readout.sum() > 0
    assert found.counts.totals() == whole.counts.totals()
    assert found.counts.steps == whole.counts.steps
    for name, counts in whole.counts.layers.items():
        got = found.counts.layers[name]
        np.testing.assert_array_equal(got.spikes, counts.spikes)
        for a, b in zip(got.edge_operations, counts.edge_operations, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(got.observed.max_membrane, counts.observed.max_membrane)
    np.testing.assert_array_equal(found.counts.inputs["input"], whole.counts.inputs["input"])
    assert seen[-1] == (23, 23)
    assert found.versions == whole.versions


def test_a_part_of_a_data_set_keeps_its_numbers(tmp_path) -> None:
    made = artifact(program(), tmp_path)
    whole = simulate(made, images=SAMPLES)
    part = simulate(made, images=SAMPLES[10:15], first=10)
    np.testing.assert_array_equal(part.readout, whole.readout[10:15])


def test_accuracy() -> None:
    made = program()
    found = simulate(Artifact(backend="reference", folder=None, program=made), images=SAMPLES)
    labels = found.prediction.copy()
    labels[:5] = (labels[:5] + 1) % 3
    assert found.accuracy(labels) == 18 / 23


def test_signed_samples_become_two_channels() -> None:
    made = program()
    split = Program(
        **{
            **{f: getattr(made, f) for f in made.__dataclass_fields__},
            "encoder": {"coding": "poisson-signed", "steps": 9, "seed": 4, "on_off_channels": True},
        }
    )
    spikes = encode_samples(split, SAMPLES)
    assert spikes.shape == (23, 9, 10)
    assert spikes.min() == 0
    images = encode_samples(split, RNG.random((2, 3, 4, 4)).astype(np.float32))
    assert images.shape == (2, 9, 6, 4, 4)


def test_refusals(tmp_path) -> None:
    events = network([layer("a", [edge("input", [[1]])], threshold=1)])
    with pytest.raises(ConfigurationError, match="this program has no encoder; give spikes with --input"):
        encode_samples(events, SAMPLES)
    for samples, batch in ((SAMPLES[:0], 5), (SAMPLES, 0)):
        with pytest.raises(ConfigurationError, match="samples in batches of"):
            simulate(artifact(program(), tmp_path), images=samples, batch=batch)
