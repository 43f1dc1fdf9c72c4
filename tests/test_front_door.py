"""The flat names of the package are functions, whatever was imported before."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import neuroprivacy

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "neuroprivacy.training.fit", "neuroprivacy.lowering"])
def test_functions_are_not_hidden_by_subpackages(first: str) -> None:
    code = f"""
{f"import {first}" if first else ""}
import neuroprivacy as npv
for _ in range(2):
    for name in npv.__all__:
        assert name in ("__version__", "Inputs") or callable(getattr(npv, name)), name
from neuroprivacy import lower, simulate, train
from neuroprivacy import FitSettings
assert callable(train) and callable(lower) and callable(simulate)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_other_attributes_are_kept() -> None:
    neuroprivacy.something = 1
    assert neuroprivacy.something == 1
    del neuroprivacy.something


def test_type_checkers_see_the_table() -> None:
    tree = ast.parse((ROOT / "neuroprivacy/__init__.py").read_text(encoding="utf-8"))
    (block,) = [
        node.body for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    assert all(isinstance(node, ast.ImportFrom) for node in block)
    seen = {alias.asname: node.module for node in block for alias in node.names if alias.name == alias.asname}
    assert seen == neuroprivacy._PUBLIC


@pytest.mark.slow
def test_types_are_flat_for_mypy(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    script = tmp_path / "user.py"
    script.write_text(
        "import neuroprivacy as npv\n"
        "reveal_type(npv.load_target)\nreveal_type(npv.FitSettings(epochs=1).lr)\nnpv.missing\n"
    )
    words = [str(script), "--config-file", str(ROOT / "pyproject.toml"), "--no-incremental", "--follow-imports=silent"]
    out, _, _ = api.run(words)
    assert "def (name: " in out
    assert "TargetSpec" in out
    assert "float" in out
    assert 'no attribute "missing"' in out.replace("Module has", "has")


def test_readme_and_examples_use_the_flat_names_alone() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "examples").glob("*.py"))]
    assert not [line for text in texts for line in re.findall(r"from neuroprivacy\.\w.*", text)]
