"""The worker process: started through uv, given requests as folders, terminated as a process group.

One worker answers many requests. Standard input is its lifeline: when this process ends, however it ends, the pipe
closes and the worker takes its whole process group down. On a timeout or an interrupt the group gets SIGTERM first,
because only then does Lava's resource tracker remove its shared memory.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import signal
import subprocess
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BackendUnavailable, BadFile, WorkerFailed
from neuroprivacy.core.storage import read_arrays
from neuroprivacy_lava.interpreter import REMEDIES, find_python, uv_program

DEFAULT_TIMEOUT_S = 900.0
TIMEOUT_VARIABLE = "NEUROPRIVACY_LAVA_TIMEOUT"
#: Seconds that a worker may take to end after SIGTERM, and again after SIGKILL.
PATIENCE_S = 3.0
_DROPPED = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "UV_PYTHON", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT",
    "PYENV_VERSION",
)  # fmt: skip


def worker_script() -> Path:
    """The worker's file, in the installed package."""
    return Path(str(resources.files("neuroprivacy_lava") / "worker" / "worker.py"))


def environment(python: Path | None) -> dict[str, str]:
    """The worker's environment: this process's, without variables that misconfigure uv or Python."""
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    if "SSL_CERT_FILE" not in kept:
        kept.setdefault("UV_SYSTEM_CERTS", "1")
    if python is not None:
        kept["UV_PYTHON_DOWNLOADS"] = "never"
    else:
        kept["UV_HTTP_RETRIES"] = "0"
    return kept


def default_command() -> tuple[list[str], dict[str, str]]:
    """The command that starts the worker."""
    python = find_python()
    command = [
        uv_program(), "run", "--no-project", "--no-config", "--quiet", "--python", str(python or "3.10"),
        "--with-requirements", str(worker_script().with_name("worker.lock.txt")),
        "python", str(worker_script()), "--serve",
    ]  # fmt: skip
    return command, environment(python)


class WorkerProcess:
    """A running worker. `ask` starts it when needed; `close` ends it and everything that it started."""

    def __init__(self, command: list[str] | None = None, env: dict[str, str] | None = None) -> None:
        self._given = (command, env)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = io.BytesIO()
        atexit.register(self.close)

    def _start(self, *, offline: bool) -> subprocess.Popen[bytes]:
        """Start the worker; `offline` restricts uv to its cache."""
        command, env = self._given
        if command is None:
            command, env = default_command()
            if offline:
                env["UV_OFFLINE"] = "1"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        try:
            return subprocess.Popen(
                command, env=env, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True
            )
        except OSError as error:
            raise BackendUnavailable(f"lava: the worker cannot be started ({error}); {REMEDIES}") from error

    def ask(
        self,
        *,
        network: Path,
        inputs: dict[str, NDArray[Any]],
        record: dict[str, bool],
        timeout_s: float | None = None,
    ) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Run a network; returns quantity.layer -> array, and the worker's versions.

        Raises:
            BackendUnavailable: no Python 3.10, or its packages cannot be had.
            WorkerFailed: the worker crashed, hung or answered nonsense; its own traceback is in the message.
        """
        limit = timeout_s if timeout_s is not None else float(os.environ.get(TIMEOUT_VARIABLE, DEFAULT_TIMEOUT_S))
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._start(offline=True)
            try:
                return self._exchange(network, inputs, record, limit)
            except BackendUnavailable:
                if self._given[0] is not None or "UV_OFFLINE" in os.environ:
                    raise
            # Not all of it is in uv's cache: the second start may use the network.
            self._process = self._start(offline=False)
        return self._exchange(network, inputs, record, limit)

    def _exchange(
        self, network: Path, inputs: dict[str, NDArray[Any]], record: dict[str, bool], limit: float
    ) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Send one request to the running worker; returns its response."""
        with tempfile.TemporaryDirectory(prefix="neuroprivacy-lava-") as name:
            folder = Path(name)
            request = {"network": str(network.resolve()), "ports": list(inputs), "record": record}
            (folder / "request.json").write_text(json.dumps(request))
            np.savez(folder / "arrays.npz", **{f"port{i}": a for i, a in enumerate(inputs.values())})  # type: ignore[arg-type]
            try:
                response = self._await(folder, limit)
            except BaseException:
                self.close()
                raise
            if not response.get("ok"):
                self.close()
                raise WorkerFailed(f"lava: {response.get('error')}\n{response.get('traceback', '')}".rstrip())
            try:
                found = read_arrays(folder / "result.npz")
                arrays = {n: found[f"array{i}"] for i, n in enumerate(response["names"])}
            except (BadFile, KeyError) as error:
                self.close()
                raise WorkerFailed(f"lava: the worker's result cannot be read ({error})") from error
        return arrays, dict(response["versions"])

    def _await(self, folder: Path, limit: float) -> dict[str, Any]:
        """Send a request and wait for its response."""
        process = self._process
        if process is None or process.stdin is None:
            raise WorkerFailed("lava: the worker is gone")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{folder}\n".encode())
            process.stdin.flush()
        answer, deadline = folder / "response.json", time.monotonic() + limit
        while not answer.exists():
            if process.poll() is not None and not answer.exists():
                raise self._ended(process.returncode)
            if time.monotonic() > deadline:
                raise WorkerFailed(
                    f"lava: no answer within {limit:g} s, the worker was killed; fewer samples or steps, "
                    f"or a larger {TIMEOUT_VARIABLE}, may help"
                )
            time.sleep(0.02)
        try:
            response = json.loads(answer.read_text())
        except ValueError as error:
            raise WorkerFailed(f"lava: the worker's answer is not JSON ({error})") from error
        if not isinstance(response, dict) or (response.get("ok") and not {"names", "versions"} <= response.keys()):
            raise WorkerFailed("lava: the worker's answer lacks fields")
        return response

    def _ended(self, code: int) -> WorkerFailed | BackendUnavailable:
        """Why a worker ended without an answer: uv's own failures mean that something is missing."""
        self._log.seek(0)
        text = self._log.read().decode(errors="replace").strip()
        if "error:" in text and "Traceback" not in text:
            return BackendUnavailable(f"lava: uv cannot set the worker up: {text[-400:]}; {REMEDIES}")
        return WorkerFailed(f"lava: the worker ended with code {code}\n{text[-2000:]}".rstrip())

    def close(self) -> None:
        """End the worker and its children: SIGTERM to the group, then SIGKILL to what is left after three seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            deadline = time.monotonic() + PATIENCE_S
            while (process.poll() is None or group_alive(process.pid)) and time.monotonic() < deadline:
                time.sleep(0.01)
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        self._log.close()


def group_alive(group: int) -> bool:
    """Whether a process of this group still runs. A zombie does not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if not Path("/proc/self/stat").exists():
        return True
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = entry.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False
