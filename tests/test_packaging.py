"""What a user installs: everything that the package needs, and nothing that is not its own."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def ours() -> set[str]:
    """Every file of the packages that git knows or would take, as it is called in a wheel."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "neuroprivacy", "backends"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    found = {line for line in done.stdout.splitlines() if (ROOT / line).exists()}
    return {line.removeprefix("backends/") for line in found}


def test_every_file_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert ours() - files == set()
    assert not [name for name in files - ours() if not name.endswith(".py")], "files that git does not know"


def test_it_brings_its_data_files(wheel: zipfile.ZipFile) -> None:
    files = set(wheel.namelist())
    assert {f"neuroprivacy/targets/{name}.toml" for name in ("loihi2", "loihi2-soft", "int8")} <= files
    assert {"neuroprivacy_lava/worker/worker.py", "neuroprivacy_lava/worker/worker.lock.txt"} <= files
    assert {"neuroprivacy/reporting/template.html", "neuroprivacy/reporting/style.css"} <= files
    packages = ("neuroprivacy", "neuroprivacy_c99", "neuroprivacy_fixedpoint", "neuroprivacy_lava")
    assert {f"{name}/py.typed" for name in packages} <= files


def test_it_brings_no_other_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    packages = {path.name for path in (ROOT / "backends").iterdir() if (path / "__init__.py").exists()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"neuroprivacy", *packages}
    assert not [name for name in wheel.namelist() if name.endswith((".pyc", ".nbc", ".nbi"))]


def test_it_names_its_backends_and_its_command(wheel: zipfile.ZipFile) -> None:
    (path,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(path).decode()
    assert "neuroprivacy = neuroprivacy.cli:main" in text
    for line in (
        "c99 = neuroprivacy_c99:",
        "fixedpoint = neuroprivacy_fixedpoint:",
        "lava = neuroprivacy_lava:",
        "reference = neuroprivacy.runtime.reference:",
    ):
        assert line in text


def test_it_carries_the_licence(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if name.endswith("LICENSE")]
