"""Calibration samples from disk are what lowering takes."""

from pathlib import Path

import nir
import numpy as np
import pytest

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.data import save_spikes
from neuroprivacy.synthesis.calibration import load_calibration


def graph(inputs: int = 1) -> nir.NIRGraph:
    nodes = {f"input{i}": nir.Input(np.array([4])) for i in range(inputs)}
    nodes["output"] = nir.Output(np.array([4]))
    return nir.NIRGraph(nodes=nodes, edges=[(name, "output") for name in nodes if name != "output"], type_check=False)


def test_spikes_become_the_only_port(tmp_path: Path) -> None:
    spikes = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 2
    save_spikes(tmp_path / "s.npz", spikes=spikes)
    found = load_calibration(graph(), tmp_path / "s.npz")
    assert found["input0"].dtype == np.int64
    np.testing.assert_array_equal(found["input0"], spikes)
    with pytest.raises(ConfigurationError, match="this graph has 2 inputs"):
        load_calibration(graph(2), tmp_path / "s.npz")


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        load_calibration(graph(), tmp_path / "missing.npz")
    with pytest.raises(BadFile):
        load_calibration(graph(), tmp_path)
