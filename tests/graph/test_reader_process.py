"""The helper that reads files: started once, started again when it is gone, and never left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroprivacy.core.errors import BadFile, WorkerFailed
from neuroprivacy.graph import load_nir, reader_process, save_nir
from neuroprivacy.graph.fault import Fault
from tools.fuzz.corpus import graphs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save_nir(graphs()["dense"], tmp_path / "a.nir")


@pytest.fixture(autouse=True)
def own_helper() -> Iterator[None]:
    """Every test begins and ends without one."""
    reader_process._state.close()
    yield
    reader_process._state.close()


def helper() -> int:
    assert reader_process._state.helper is not None
    return reader_process._state.helper.process.pid


def gone(pid: int) -> bool:
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.slow
def test_one_helper_reads_many_files(path: Path) -> None:
    load_nir(path)
    first = helper()
    path.with_suffix(".bad").write_bytes(path.read_bytes()[:900])
    for _ in range(3):
        load_nir(path)
        with pytest.raises(BadFile):
            load_nir(path.with_suffix(".bad"))
    assert helper() == first


@pytest.mark.slow
def test_a_helper_that_was_killed_is_started_again(path: Path) -> None:
    load_nir(path)
    first = helper()
    os.kill(first, signal.SIGKILL)
    assert len(load_nir(path).nodes) == 8
    assert helper() != first


@pytest.mark.slow
def test_a_helper_that_stands_still_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_nir(path)
    first = helper()
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr(reader_process, "GIVE_UP_S", 0.3)
    with pytest.raises(BadFile, match="takes longer than 10 seconds to read; the file is damaged"):
        load_nir(path)
    assert gone(first)
    monkeypatch.undo()
    assert len(load_nir(path).nodes) == 8


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the interrupted request must not become the answer to the next one."""
    load_nir(path)
    first = helper()

    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(reader_process, "_exactly", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_nir(path)
    monkeypatch.undo()
    assert gone(first)
    assert len(load_nir(path).nodes) == 8


def test_a_terminals_ctrl_c_does_not_reach_the_helper(path: Path) -> None:
    load_nir(path)
    assert os.getpgid(helper()) != os.getpgid(0)
    os.kill(helper(), signal.SIGINT)
    first = helper()
    load_nir(path)
    assert helper() == first


@pytest.mark.slow
def test_a_forked_process_has_its_own_helper(path: Path) -> None:
    load_nir(path)
    first = helper()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            fresh = reader_process._state.helper is None
            load_nir(path)
            code = 0 if fresh and helper() != first else 2
            reader_process._state.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    load_nir(path)
    assert helper() == first


@pytest.mark.slow
def test_threads_take_turns(path: Path) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.extend(len(load_nir(path).nodes) for _ in range(5))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [8] * 20


@pytest.mark.slow
def test_no_descriptor_is_left_open(path: Path) -> None:
    load_nir(path)
    path.with_suffix(".bad").write_bytes(path.read_bytes()[:900])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        load_nir(path)
        with pytest.raises(BadFile):
            load_nir(path.with_suffix(".bad"))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), 9)"])
def test_the_helper_ends_with_its_parent(end: str, path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from neuroprivacy.graph import load_nir, reader_process\n"
        f"load_nir(Path({str(path)!r})); print(reader_process._state.helper.process.pid, flush=True)\n{end}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert gone(int(done.stdout))


@pytest.mark.slow
def test_the_helper_imports_nothing_of_ours_but_the_reader() -> None:
    code = reader_process._BOOTSTRAP.replace(
        "main(int(control))", "print(*[n for n in ('torch', 'nir', 'click', 'numba', 'scipy') if n in sys.modules])"
    )
    package = str(Path(reader_process.__file__).parents[1])
    done = subprocess.run([sys.executable, "-P", "-c", code, package, "0"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_the_child_may_open_nothing_write_nothing_and_start_nothing() -> None:
    code = """
import os, resource, sys
from neuroprivacy.graph.reader_worker import _confine
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
_confine(1000)
refused = []
for name, attempt in (("open", lambda: open("/proc/self/status")), ("memory", lambda: bytearray(2**31))):
    try:
        attempt()
    except (OSError, MemoryError):
        refused.append(name)
refused += [n for n in ("FSIZE", "CORE", "NOFILE") if resource.getrlimit(getattr(resource, "RLIMIT_" + n))[1] == 0]
print(*refused)
"""
    done = subprocess.run([sys.executable, "-c", code, os.devnull], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["open", "memory", "FSIZE", "CORE", "NOFILE"]


def test_what_ended_a_child_is_said() -> None:
    said = {number: reader_process._killed(number) for number in (signal.SIGSEGV, signal.SIGALRM, signal.SIGKILL, 63)}
    assert "reading it crashes the HDF5 library, SIGSEGV" in said[signal.SIGSEGV].reason
    assert said[signal.SIGSEGV].kind == "crash"
    assert "takes longer than 10 seconds" in said[signal.SIGALRM].reason
    assert "takes more time or memory" in said[signal.SIGKILL].reason
    assert "signal 63" in said[63].reason


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_child_that_crashes_is_a_refusal(number: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose parser kills itself stands for HDF5 crashing on a file that nobody knows yet."""
    crash = f"reader_worker.parse = lambda *_, **__: __import__('os').kill(__import__('os').getpid(), {int(number)})"
    code = reader_process._BOOTSTRAP.replace(
        "main(int(control))", f"from neuroprivacy.graph import reader_worker; reader_worker._warm_up = lambda: None\n"
        f"{crash}\nmain(int(control))",
    )  # fmt: skip
    monkeypatch.setattr(reader_process, "_BOOTSTRAP", code)
    for _ in range(2):
        with pytest.raises(BadFile, match=rf"reading it crashes the HDF5 library, {signal.Signals(number).name}\)"):
            load_nir(path)


@pytest.mark.slow
def test_a_child_that_hangs_is_stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where it has switched its own alarm off."""
    hang = "reader_worker.parse = lambda *_, **__: [reader_worker.signal.setitimer(0, 0), __import__('time').sleep(99)]"
    code = reader_process._BOOTSTRAP.replace(
        "main(int(control))", "from neuroprivacy.graph import reader_worker; reader_worker._warm_up = lambda: None\n"
        f"reader_worker.KILL_S = 0.3\n{hang}\nmain(int(control))",
    )  # fmt: skip
    monkeypatch.setattr(reader_process, "_BOOTSTRAP", code)
    with pytest.raises(BadFile, match="takes more time or memory to read than there is") as caught:
        load_nir(path)
    assert isinstance(caught.value.__cause__, Fault)
    assert caught.value.__cause__.kind == "timeout"


def test_a_helper_that_cannot_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_process, "_BOOTSTRAP", "raise SystemExit(3)")
    with pytest.raises(WorkerFailed, match="the process that reads NIR files does not start"):
        load_nir(path)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkerFailed, match=r"does not start \(No such file or directory\)"):
        load_nir(path)


@pytest.mark.slow
def test_a_helper_that_dies_at_every_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = reader_process._BOOTSTRAP.replace(
        "main(int(control))", "from neuroprivacy.graph import reader_worker\n"
        "reader_worker._serve_one = lambda control: False\nmain(int(control))",
    )  # fmt: skip
    monkeypatch.setattr(reader_process, "_BOOTSTRAP", code)
    with pytest.raises(WorkerFailed, match="ended twice without a word"):
        load_nir(path)
