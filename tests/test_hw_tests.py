"""The command `pytest hw_tests --target NAME`: no default, and a missing tool is never a pass."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def hw_tests(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "hw_tests", "-p", "no:cacheprovider", *options],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def written(folder: Path) -> tuple[str, dict[str, object]]:
    (path,) = folder.rglob("*.json")
    return str(path.relative_to(folder)), json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "hw_tests: no target is given; choose one: pytest hw_tests --target {fixedpoint,lava,c-host,"),
        (("--target", "loihi"), "hw_tests: 'loihi' is no target; choose one"),
    ],
)
def test_a_target_must_be_named(options: tuple[str, ...], message: str) -> None:
    done = hw_tests(*options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr


@pytest.mark.slow
def test_results_are_written_with_versions(tmp_path: Path) -> None:
    done = hw_tests(
        "--target",
        "fixedpoint",
        "--random",
        "2",
        "--seed",
        "3",
        "--results",
        str(tmp_path),
        "-k",
        "(random or every) and not spike",
    )
    assert done.returncode == 0, done.stdout
    assert "target: fixedpoint (numba " in done.stdout
    assert "random Programs: 2 from seed 3" in done.stdout
    name, results = written(tmp_path)
    versions = results["versions"]
    assert isinstance(versions, dict)
    assert name == f"fixedpoint/numba-{versions['numba']}.json"
    assert versions.keys() == {"numba", "numpy", "neuroprivacy"}
    assert results["tally"] == {"passed": 4, "failed": 0, "not run": 0}
    outcomes = results["outcomes"]
    assert isinstance(outcomes, dict)
    assert outcomes["hw_tests/test_kit.py::test_random[3]"] == "passed"


@pytest.mark.slow
def test_what_is_no_chip_here_is_not_run(tmp_path: Path) -> None:
    done = hw_tests("--target", "loihi2-hw", "--random", "1", "--results", str(tmp_path), "--allow-missing")
    assert done.returncode == 0, done.stdout
    assert "target: loihi2-hw (NOT RUN: loihi2-hw: Intel's hardware runtime" in done.stdout
    assert "passed" not in done.stdout.splitlines()[-1]
    assert hw_tests("--target", "loihi2-hw", "--results", str(tmp_path)).returncode == 1


@pytest.mark.slow
def test_the_c_on_this_host(tmp_path: Path) -> None:
    done = hw_tests("--target", "c-host", "--random", "2", "--results", str(tmp_path), "-k", "random and not strict")
    if "NOT RUN" in done.stdout or "no C compiler" in done.stderr:
        pytest.skip("not run: there is no C compiler")
    assert done.returncode == 0, done.stdout
    name, results = written(tmp_path)
    assert name.startswith("c-host/cc-")
    tally = results["tally"]
    assert isinstance(tally, dict)
    assert tally["passed"] == 2


@pytest.mark.slow
def test_a_missing_lava_fails_with_the_remedies(tmp_path: Path) -> None:
    done = hw_tests("--target", "lava", "--results", str(tmp_path), NEUROPRIVACY_LAVA_PYTHON="/no/python3.10")
    assert done.returncode == 1
    assert "target lava FAILED: lava: NEUROPRIVACY_LAVA_PYTHON (/no/python3.10) is no Python 3.10" in done.stderr
    assert "install Python 3.10" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_missing_lava_may_be_allowed_and_is_not_run(tmp_path: Path) -> None:
    done = hw_tests(
        "--target", "lava", "--random", "1", "--results", str(tmp_path), "--allow-missing",
        NEUROPRIVACY_LAVA_PYTHON="/no/python3.10",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "target: lava (NOT RUN: lava: NEUROPRIVACY_LAVA_PYTHON" in done.stdout
    assert "passed" not in done.stdout.splitlines()[-1]
    assert "not run" in done.stdout.splitlines()[-1]
    name, results = written(tmp_path)
    assert name == "lava/not-run.json"
    tally = results["tally"]
    assert isinstance(tally, dict)
    assert (tally["passed"], tally["failed"]) == (0, 0)
    assert tally["not run"] > 60
