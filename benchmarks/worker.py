"""A simulator's process: started by the Python of its own environment, asked line by line, ended with its children.

Between two questions it waits on a pipe and computes nothing, so that many may be kept warm beside each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from neuroprivacy.core.errors import WorkerFailed

_PATIENCE_S = 5.0


class Worker:
    """A running script of `benchmarks/peers`.

    Attributes:
        name: for messages.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._process = subprocess.Popen(
            list(command), env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            start_new_session=True,
        )  # fmt: skip
        self._pending = b""

    def ask(self, request: Mapping[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """One request, and what was answered.

        Raises:
            WorkerFailed: the script failed, ended, hung or answered nonsense.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        line = self._line(timeout_s)
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise WorkerFailed(f"{self.name}: the answer is no JSON: {line[:200]!r}") from error
        if not isinstance(answer, dict) or "ok" not in answer:
            raise WorkerFailed(f"{self.name}: the answer lacks fields")
        if not answer.pop("ok"):
            raise WorkerFailed(f"{self.name}: {answer.get('error')}\n{answer.get('traceback', '')}".rstrip())
        return answer

    def _line(self, timeout_s: float) -> bytes:
        """The next line, or why there is none."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    self.close()
                    raise WorkerFailed(f"{self.name}: no answer within {timeout_s:g} s")
                received = os.read(self._process.stdout.fileno(), 65536)
                if not received:
                    raise WorkerFailed(f"{self.name}: ended: {self._said()}")
                self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _said(self) -> str:
        """The end of what the script wrote to standard error."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-800:]

    def close(self) -> None:
        """End it and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE_S)
                if number == signal.SIGTERM:
                    time.sleep(0.1)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if not self._log.closed:
            self._log.close()
