"""Finding a Python 3.10: what does not run is passed over, and nothing found says what to do."""

from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.core.errors import BackendUnavailable
from neuroprivacy.runtime.backend import Record
from neuroprivacy.testing.case import edge, layer, network
from neuroprivacy_lava import LavaBackend, interpreter, worker_process
from neuroprivacy_lava.interpreter import VARIABLE, candidates, find_python, probe
from neuroprivacy_lava.worker_process import WorkerProcess, default_command

REMEDIES = (r"install Python 3\.10 \(for example with pyenv\)", VARIABLE, r"uv python install 3\.10")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def python(path: Path, version: str = "3 10", name: str = "cpython") -> Path:
    """A program that answers the probe as an interpreter of that version would."""
    return script(path, f'echo "{name} {version} {path}"')


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Python 3.10 on the PATH, in pyenv, or known to uv."""
    for name in (VARIABLE, "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fake_uv = script(tmp_path / "uv", 'echo "error: No interpreter found for Python 3.10 in system path" >&2; exit 2')
    monkeypatch.setattr(interpreter, "uv_program", lambda: str(fake_uv))
    monkeypatch.setattr(worker_process, "uv_program", lambda: str(fake_uv))
    return tmp_path


def put_on_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("PATH", ":".join(str(folder) for folder in folders))


def test_a_dead_shim_on_the_path_is_passed_over(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(nowhere / "shims/python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    alive = python(nowhere / "bin/python3.10")
    put_on_path(monkeypatch, nowhere / "shims", nowhere / "bin")
    assert find_python() == alive


@pytest.mark.parametrize(
    "text",
    [
        "echo cpython 3 11 /x", "echo pypy 3 10 /x", "echo nonsense", "exit 0",
        "echo cpython 3 10 /x; exit 1", "echo cpython 3 1 /x", "kill -9 $$",
    ],
)  # fmt: skip
def test_what_is_no_cpython_3_10_that_runs(text: str, nowhere: Path) -> None:
    assert probe(script(nowhere / "python3.10", text)) is None


def test_what_cannot_be_executed(nowhere: Path) -> None:
    (nowhere / "python3.10").write_text("not a program")
    assert probe(nowhere / "python3.10") is None
    assert probe(nowhere / "missing") is None


def test_the_path_may_hold_spaces(nowhere: Path) -> None:
    assert probe(python(nowhere / "My Programs/python3.10")) == nowhere / "My Programs/python3.10"


def test_the_order_is_path_then_pyenv_newest_first(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = python(nowhere / "bin/python3.10")
    root = nowhere / "pyenv"
    old, new = (python(root / f"versions/3.10.{n}/bin/python3.10") for n in (4, 9))
    at_home = python(nowhere / "home/.pyenv/versions/3.10.1/bin/python3.10")
    monkeypatch.setenv("PYENV_ROOT", str(root))
    put_on_path(monkeypatch, nowhere / "bin")
    assert list(candidates()) == [on_path, new, old, at_home]
    assert find_python() == on_path


def test_pyenv_is_searched_when_the_path_has_none(nowhere: Path) -> None:
    at_home = python(nowhere / "home/.pyenv/versions/3.10.13/bin/python3.10")
    assert find_python() == at_home


def test_the_newest_patch_is_the_highest_number(nowhere: Path) -> None:
    for patch in (2, 9, 13):
        python(nowhere / f"home/.pyenv/versions/3.10.{patch}/bin/python3.10")
    found = find_python()
    assert found is not None
    assert found.parts[-3] == "3.10.13"


def test_uv_is_asked_last(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = python(nowhere / "uv-made/python3.10")
    fake_uv = script(nowhere / "uv", f'echo "{known}"')
    monkeypatch.setattr(interpreter, "uv_program", lambda: str(fake_uv))
    assert find_python() == known


def test_the_variable_comes_first(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python(nowhere / "bin/python3.10")
    put_on_path(monkeypatch, nowhere / "bin")
    chosen = python(nowhere / "mine/python")
    monkeypatch.setenv(VARIABLE, str(chosen))
    assert find_python() == chosen


def test_a_wrong_variable_is_an_error_not_a_hint(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python(nowhere / "bin/python3.10")
    put_on_path(monkeypatch, nowhere / "bin")
    monkeypatch.setenv(VARIABLE, str(python(nowhere / "mine/python", "3 12")))
    with pytest.raises(BackendUnavailable, match=rf"lava: {VARIABLE} \(.*\) is no Python 3\.10 that runs; ") as caught:
        find_python()
    assert caught.value.exit_code == 4
    assert_remedies(str(caught.value))


def assert_remedies(text: str) -> None:
    import re

    for remedy in REMEDIES:
        assert re.search(remedy, text), remedy


def test_nothing_found_leaves_it_to_uv(nowhere: Path) -> None:
    assert find_python() is None
    command, env = default_command()
    assert command[command.index("--python") + 1] == "3.10"
    assert (env["UV_HTTP_RETRIES"], "UV_PYTHON_DOWNLOADS" in env) == ("0", False)


def test_nothing_found_and_no_download_is_exit_code_4(nowhere: Path) -> None:
    program = network([layer("n", [edge("input", [[5]])], threshold=3)])
    worker = WorkerProcess()
    backend = LavaBackend(worker)
    artifact = backend.build(program, nowhere / "built")
    with pytest.raises(BackendUnavailable, match="uv cannot set the worker up: error: No interpreter found") as caught:
        backend.run(artifact, {"input": np.zeros((1, 1, 1), np.int64)}, Record())
    worker.close()
    assert caught.value.exit_code == 4
    assert_remedies(str(caught.value))


def test_a_missing_uv_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import uv

    def missing() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(uv, "find_uv_bin", missing)
    with pytest.raises(BackendUnavailable, match="lava: the program uv is missing; install it with: pip install uv"):
        interpreter.uv_program()
