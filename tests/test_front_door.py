"""The flat names of the package are functions, whatever was imported before."""

import subprocess
import sys

import pytest

import neuroprivacy


@pytest.mark.parametrize("first", ["", "neuroprivacy.training.fit", "neuroprivacy.lowering"])
def test_functions_are_not_hidden_by_subpackages(first: str) -> None:
    code = f"""
{f"import {first}" if first else ""}
import neuroprivacy as npv
for _ in range(2):
    for name in npv.__all__:
        assert name == "__version__" or callable(getattr(npv, name)), name
from neuroprivacy import lower, simulate, train
from neuroprivacy.training import FitSettings
assert callable(train) and callable(lower) and callable(simulate)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_other_attributes_are_kept() -> None:
    neuroprivacy.something = 1
    assert neuroprivacy.something == 1
    del neuroprivacy.something
