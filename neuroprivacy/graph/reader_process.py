"""The parent's side of reading: a warm helper process, started with the first file and ended with this process.

A helper that died is started anew; one that was interrupted or late is given up. A process that forks leaves its helper
to its parent. See `reader_worker.py` for the other side.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import WorkerFailed
from neuroprivacy.graph.fault import Fault
from neuroprivacy.graph.limits import GIVE_UP_S, READ_S, declared_limit
from neuroprivacy.graph.message import unpack
from neuroprivacy.graph.tree import Tree

#: Seconds that a helper may take to start: importing h5py on a busy machine.
START_S = 60
_READY = b"ready"
_STATUS_BYTES = 4
_PIPE_BYTES = 2**20
_AGAIN = "the file is damaged; export it again"
#: Starts the worker without running the package's own `__init__`, which imports what the worker must not have.
_BOOTSTRAP = """
import sys, types
package, control = sys.argv[1:]
for name, folder in (("neuroprivacy", package), ("neuroprivacy.graph", package + "/graph")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from neuroprivacy.graph.reader_worker import main
main(int(control))
"""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def read_tree(file: int, size: int) -> Tree:
    """Read the tree of an open file, in a helper process with limited memory and time.

    Args:
        file: descriptor of a regular file, at its start.
        size: its bytes.

    Raises:
        Fault: the file is refused, or could not be read within its limits.
        WorkerFailed: no helper can be started.
    """
    with _state.lock:
        for _ in range(2):
            helper = _state.helper = _state.helper or _Helper()
            try:
                return helper.read(file, size)
            except Fault:
                raise
            except BaseException as error:  # Ctrl-C too: an answer that nobody waits for is still under way
                helper.close()
                _state.helper = None
                if isinstance(error, _Late):
                    raise _late() from None
                if not isinstance(error, _Gone):
                    raise
                os.lseek(file, 0, os.SEEK_SET)
    raise WorkerFailed("the process that reads NIR files ended twice without a word; is there enough memory?")


class _Gone(Exception):
    """The helper is not there any more."""


class _Late(Exception):
    """The child did not answer before its deadline."""


class _Helper:
    """One helper process and the socket to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        package = Path(__file__).resolve().parents[1]
        command = [sys.executable, "-P", "-c", _BOOTSTRAP, str(package), str(theirs.fileno())]
        environment = {**os.environ, **_ONE_THREAD, "HDF5_PLUGIN_PRELOAD": "::"}
        self.control = ours
        with theirs:
            try:
                self.process = subprocess.Popen(
                    command, pass_fds=(theirs.fileno(),), env=environment, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise WorkerFailed(f"the process that reads NIR files does not start ({error.strerror})") from error
        try:
            _exactly(ours.fileno(), len(_READY), time.monotonic() + START_S)
        except (_Gone, _Late) as error:
            self.close()
            raise WorkerFailed(
                "the process that reads NIR files does not start; does `python -c 'import h5py'` work?"
            ) from error

    def read(self, file: int, size: int) -> Tree:
        """One file. After an exception that is no Fault the helper cannot be used again."""
        deadline = time.monotonic() + GIVE_UP_S
        source, sink = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # only for speed
                fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            socket.send_fds(self.control, [b"r"], [file, sink])
        except BaseException as error:
            os.close(source)
            if isinstance(error, OSError):
                raise _Gone from error
            raise
        finally:
            os.close(sink)
        return self._answer(source, size, deadline)

    def _answer(self, source: int, size: int, deadline: float) -> Tree:
        """Decode the child's answer; if it is incomplete, explain why from how the child ended."""

        def read(number: int) -> bytes:
            return _exactly(source, number, deadline)

        def read_into(array: NDArray[Any]) -> None:
            _fill(source, array, deadline)

        found: Tree | Fault
        try:
            found = unpack(read, read_into, limit_bytes=declared_limit(size))
        except Fault as fault:
            found = fault
        except _Gone:
            found = Fault("is not a NIR graph (reading it broke off)", kind="crash")
        finally:
            os.close(source)  # a child that still sends something is stopped by that
        status = int.from_bytes(_exactly(self.control.fileno(), _STATUS_BYTES, deadline), "little")
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGPIPE:
            raise _killed(os.WTERMSIG(status))
        if isinstance(found, Fault):
            raise found
        return found

    def close(self) -> None:
        """End the helper: it ends by itself when the socket closes, and is killed if it does not."""
        self.control.close()
        with contextlib.suppress(OSError):
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)

    def forget(self) -> None:
        """In a forked process: the helper is the parent's."""
        self.control.close()
        self.process.returncode = 0


class _State:
    """The helper of this process and who may use it now."""

    def __init__(self) -> None:
        self.helper: _Helper | None = None
        self.lock = threading.Lock()

    def after_fork(self) -> None:
        """A forked process has no helper yet, and a lock that nobody holds."""
        if self.helper is not None:
            self.helper.forget()
        self.helper = None
        self.lock = threading.Lock()

    def close(self) -> None:
        """At the end of the process."""
        if self.helper is not None:
            self.helper.close()
        self.helper = None


_state = _State()
os.register_at_fork(after_in_child=_state.after_fork)
atexit.register(_state.close)


def _late() -> Fault:
    return Fault(f"takes longer than {READ_S} seconds to read", kind="timeout", hint=_AGAIN)


def _killed(number: int) -> Fault:
    """Explain the signal that ended the child, as a refusal of the file."""
    if number in (signal.SIGALRM, signal.SIGXCPU):
        return _late()
    if number == signal.SIGKILL:
        return Fault("takes more time or memory to read than there is", kind="timeout", hint=_AGAIN)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return Fault(f"is not a NIR graph (reading it crashes the HDF5 library, {name})", kind="crash", hint=_AGAIN)


def _wait(source: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    waiting = select.poll()
    waiting.register(source, select.POLLIN)
    if left <= 0 or not waiting.poll(left * 1000):
        raise _Late


def _exactly(source: int, number: int, deadline: float) -> bytes:
    parts = bytearray()
    while len(parts) < number:
        _wait(source, deadline)
        try:
            part = os.read(source, min(number - len(parts), 2**20))
        except ConnectionError as error:
            raise _Gone from error
        if not part:
            raise _Gone
        parts += part
    return bytes(parts)


def _fill(source: int, array: NDArray[Any], deadline: float) -> None:
    if not array.size:
        return
    view = array.reshape(-1).view(np.uint8).data
    while view:
        _wait(source, deadline)
        number = os.readv(source, [view])
        if not number:
            raise _Gone
        view = view[number:]
