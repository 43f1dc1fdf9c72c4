"""The worker as a process, against a stand-in: the host says what went wrong, and nothing is left running."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neuroprivacy.core.errors import BackendUnavailable, WorkerFailed
from neuroprivacy_lava import worker_process
from neuroprivacy_lava.worker_process import WorkerProcess, environment, group_alive, worker_script

FAKE = Path(__file__).with_name("fake_worker.py")
INPUT = {"input": np.arange(6, dtype=np.int32).reshape(1, 2, 3)}


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "note.json"


@pytest.fixture
def fake(note: Path) -> Iterator[Callable[[str], WorkerProcess]]:
    """A worker of a given kind of misbehaviour."""
    made: list[WorkerProcess] = []

    def make(kind: str) -> WorkerProcess:
        env = {**os.environ, "FAKE_WORKER_NOTE": str(note)}
        made.append(WorkerProcess(command=[sys.executable, str(FAKE), kind], env=env))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def ask(worker: WorkerProcess, folder: Path, timeout_s: float = 60) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    return worker.ask(network=folder, inputs=INPUT, record={"states": False}, timeout_s=timeout_s)


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_one_worker_answers_many_requests(fake: Callable[[str], WorkerProcess], tmp_path: Path) -> None:
    worker = fake("well")
    found = [ask(worker, tmp_path) for _ in range(3)]
    for arrays, _ in found:
        assert np.array_equal(arrays["echo.input"], INPUT["input"])
    assert len({versions["fake"] for _, versions in found}) == 1


@pytest.mark.slow
def test_a_closed_worker_starts_again(fake: Callable[[str], WorkerProcess], tmp_path: Path) -> None:
    worker = fake("well")
    first = ask(worker, tmp_path)[1]["fake"]
    worker.close()
    worker.close()
    assert not running(int(first))
    assert ask(worker, tmp_path)[1]["fake"] != first


@pytest.mark.slow
def test_a_worker_that_died_between_requests_is_replaced(fake: Callable[[str], WorkerProcess], tmp_path: Path) -> None:
    worker = fake("well")
    first = int(ask(worker, tmp_path)[1]["fake"])
    os.kill(first, signal.SIGKILL)
    assert worker._process is not None
    worker._process.wait(30)
    assert int(ask(worker, tmp_path)[1]["fake"]) != first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("crash", r"lava: the worker ended with code 7\nTraceback .*\nValueError: the core is on fire$"),
        ("quiet-crash", r"lava: the worker ended with code -9$"),
        ("not-json", r"lava: the worker's answer is not JSON \("),
        ("not-an-object", "lava: the worker's answer lacks fields"),
        ("lacks-fields", "lava: the worker's answer lacks fields"),
        (
            "error",
            r"lava: KeyError: 'vth'\nTraceback \(most recent call last\):\n  in lava\nKeyError: 'vth'$",
        ),
        ("no-result", "lava: the worker's result cannot be read"),
        ("bad-result", "lava: the worker's result cannot be read"),
    ],
)
def test_misbehaviour_is_told(kind: str, message: str, fake: Callable[[str], WorkerProcess], tmp_path: Path) -> None:
    worker = fake(kind)
    with pytest.raises(WorkerFailed, match=message) as caught:
        ask(worker, tmp_path)
    assert caught.value.exit_code == 1
    assert worker._process is None


def test_uvs_own_errors_mean_that_something_is_missing(fake: Callable[[str], WorkerProcess], tmp_path: Path) -> None:
    with pytest.raises(
        BackendUnavailable, match=r"uv cannot set the worker up: error: No interpreter .*; install"
    ) as e:
        ask(fake("uv-error"), tmp_path)
    assert e.value.exit_code == 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hang", "stubborn"])
def test_a_hanging_worker_is_killed_with_all_that_it_started(
    kind: str,
    fake: Callable[[str], WorkerProcess],
    note: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its child ignores SIGTERM, the stubborn worker too. The limit runs out once both are up."""
    monkeypatch.setattr(worker_process, "PATIENCE_S", 0.3)
    clock = iter(range(0, 10**9, 1000))

    def monotonic() -> float:
        """Time stands still until the note is there, then it flies."""
        return float(next(clock)) if note.exists() else 0.0

    real = worker_process.time
    worker = fake(kind)
    original = worker._await

    def wait(folder: Path, limit: float) -> dict[str, Any]:
        """Wait by the test's clock; starting and killing go by the real one."""
        with monkeypatch.context() as patch:
            patch.setattr(worker_process, "time", SimpleNamespace(monotonic=monotonic, sleep=real.sleep))
            return original(folder, limit)

    monkeypatch.setattr(worker, "_await", wait)
    with pytest.raises(
        WorkerFailed, match=r"no answer within 60 s, the worker was killed; fewer samples or steps, or a"
    ):
        ask(worker, tmp_path)
    told = json.loads(note.read_text())
    assert not running(told["worker"])
    assert not running(told["child"])
    assert not group_alive(told["worker"])


@pytest.mark.slow
def test_an_interrupt_while_waiting_closes_the_worker(
    fake: Callable[[str], WorkerProcess], note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, done = worker_process.time, []

    def sleep(seconds: float) -> None:
        if note.exists() and not done:
            done.append(True)
            raise KeyboardInterrupt
        real.sleep(seconds)

    monkeypatch.setattr(worker_process, "PATIENCE_S", 0.3)
    monkeypatch.setattr(worker_process, "time", SimpleNamespace(monotonic=real.monotonic, sleep=sleep))
    worker = fake("hang")
    with pytest.raises(KeyboardInterrupt):
        ask(worker, tmp_path)
    told = json.loads(note.read_text())
    assert not running(told["worker"])
    assert not running(told["child"])
    assert worker._process is None


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    worker = WorkerProcess(command=[str(tmp_path / "nothing")], env={})
    with pytest.raises(BackendUnavailable, match=r"lava: the worker cannot be started .*install Python 3\.10"):
        ask(worker, tmp_path)


@pytest.mark.slow
def test_the_real_worker_ends_when_its_lifeline_closes() -> None:
    """Started by hand as the host starts it; Lava is not needed to listen."""
    process = subprocess.Popen(
        [sys.executable, str(worker_script()), "--serve"], stdin=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == -signal.SIGTERM
    assert not group_alive(process.pid)


@pytest.mark.slow
def test_the_real_worker_ends_when_its_host_is_killed(tmp_path: Path) -> None:
    """The host gets no chance to clean up: SIGKILL."""
    host = tmp_path / "host.py"
    host.write_text(
        "import sys, time\n"
        "from neuroprivacy_lava.worker_process import WorkerProcess, worker_script\n"
        "worker = WorkerProcess(command=[sys.executable, str(worker_script()), '--serve'])\n"
        "print(worker._start(offline=True).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, str(host)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait(60)
    process.stdout.close()
    try:
        while group_alive(pid):
            worker_process.time.sleep(0.01)
    finally:
        if group_alive(pid):
            os.killpg(pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_real_worker_hands_its_traceback_on(tmp_path: Path) -> None:
    """There is no network in the folder; Lava is not reached."""
    worker = WorkerProcess(command=[sys.executable, str(worker_script()), "--serve"], env=dict(os.environ))
    try:
        with pytest.raises(WorkerFailed) as caught:
            ask(worker, tmp_path)
    finally:
        worker.close()
    assert str(caught.value).startswith("lava: FileNotFoundError: ")
    assert "load_network" in str(caught.value)
    assert "network.json" in str(caught.value)


def test_what_would_lead_uv_or_python_astray_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PYTHON", "PYENV_VERSION", "UV_PROJECT"):
        monkeypatch.setenv(name, "/wrong")
    monkeypatch.setenv("KEPT", "yes")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    env = environment(Path("/usr/bin/python3.10"))
    assert "/wrong" not in env.values()
    assert (env["KEPT"], env["UV_PYTHON_DOWNLOADS"], env["UV_SYSTEM_CERTS"]) == ("yes", "never", "1")
    assert environment(None)["UV_HTTP_RETRIES"] == "0"
    monkeypatch.setenv("SSL_CERT_FILE", "/certs.pem")
    assert "UV_SYSTEM_CERTS" not in environment(None) or os.environ.get("UV_SYSTEM_CERTS")
