"""The reading process: parses HDF5 for its parent, one forked child for each file. Imports h5py and numpy only.

HDF5 is a large C library that crashes, hangs and allocates on damaged files. The helper (`main`) never touches a file:
it forks a child that may use little memory, little time, no other file and no disk, and tells how the child ended. It
is single-threaded, so that forking is safe, and ends when its parent does.

On the control socket: the parent sends one byte with two descriptors, the file and where the message goes (see
`message.py`); the helper answers with the child's wait status, four bytes.
"""

from __future__ import annotations

import codecs
import contextlib
import gc
import io
import os
import resource
import select
import signal
import socket
import struct
import time

import h5py
import numpy as np

from neuroprivacy.graph.fault import Fault
from neuroprivacy.graph.limits import KILL_S, READ_S, declared_limit, memory_limit
from neuroprivacy.graph.message import pack_fault, pack_tree
from neuroprivacy.graph.parse import parse

READY = b"ready"
STATUS = struct.Struct("<i")
_DEFAULT_SIGNALS = (signal.SIGALRM, signal.SIGXCPU, signal.SIGPIPE, signal.SIGTERM)


def main(control_fd: int) -> None:
    """Serve until the parent closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for number in _DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    control = socket.socket(fileno=control_fd)
    _warm_up()
    with contextlib.suppress(OSError):
        control.sendall(READY)
        while _serve_one(control):
            pass


def _warm_up() -> None:
    """Use everything once: a child can open no file, so nothing may be left to import, and it starts the faster."""
    for encoding in ("ascii", "latin-1", "utf-8", "utf-16", "utf-32"):
        codecs.lookup(encoding)
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["version"] = "0"
        file["node/a"] = np.ones(2)
        file["node/edges"] = [("a", "b")]
        file["node/c"] = np.array([b"a", b"b"])
        file["node/d"] = np.array(b"\xff")
        file["node/b"] = h5py.SoftLink("/node/a")
    with contextlib.suppress(Fault):
        parse(stream.getvalue())
    with h5py.File(stream, "r+") as file:
        del file["node/b"], file["node/d"]
        file.create_dataset("node/b", data=np.ones(3, bool), compression="gzip")
    pack_tree(parse(stream.getvalue()))
    for damaged in (stream.getvalue()[:300], b"\xff" * 300):
        with contextlib.suppress(Fault):
            parse(damaged)
    gc.collect()
    gc.freeze()


def _serve_one(control: socket.socket) -> bool:
    """One file; False when the parent is gone."""
    request, descriptors, _, _ = socket.recv_fds(control, 1, 2)
    if not request or len(descriptors) != 2:
        return False
    alive, held = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(alive)
            control.close()
            _read(*descriptors)
            code = 0
        finally:
            os._exit(code)  # whatever happened: nothing of the helper may run twice
    for descriptor in (held, *descriptors):
        os.close(descriptor)
    parent_is_there, status = _wait(child, alive, control)
    os.close(alive)
    if parent_is_there:
        control.sendall(STATUS.pack(status))
    return parent_is_there


def _wait(child: int, alive: int, control: socket.socket) -> tuple[bool, int]:
    """Wait until the child ends; kill it when its time is over or the parent is gone."""
    ready, _, _ = select.select([alive, control.fileno()], [], [], KILL_S)
    parent_is_there = control.fileno() not in ready
    if alive in ready:  # it closed its end: it is ending, or pretends to
        for _ in range(100):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return parent_is_there, status
            time.sleep(0.001)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return parent_is_there, os.waitpid(child, 0)[1]


def _read(file: int, result: int) -> None:
    """In the child: read the file, send the message."""
    size = os.fstat(file).st_size
    _confine(size)
    with open(file, "rb", buffering=0) as stream, open(result, "wb", buffering=0) as out:
        try:
            content = _content(stream, size)
            tree = parse(content, before_reading=lambda declared: _limit_memory(size, declared))
            head, arrays = pack_tree(tree)
        except Fault as fault:
            _send(out, pack_fault(fault))
            return
        except MemoryError:
            _send(out, pack_fault(Fault("takes more memory to read than a file of its size may", kind="size")))
            return
        _send(out, head)
        for array in arrays:
            if array.size:
                _send(out, array.reshape(-1).view(np.uint8).data)


def _content(stream: io.RawIOBase | io.FileIO, size: int) -> bytes:
    """The file's bytes, read once; a file that grows meanwhile is read as far as it was."""
    parts: list[bytes] = []
    left = size
    while left and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _send(out: io.FileIO, payload: bytes | memoryview) -> None:
    view = memoryview(payload)
    while view:
        view = view[out.write(view) :]


def _confine(size: int) -> None:
    """Little memory, little time, no other file, no disk, no process."""
    signal.setitimer(signal.ITIMER_REAL, READ_S)
    _limit_memory(size, 0)
    _limit("RLIMIT_CPU", READ_S, READ_S + 1)  # at the first it ends by SIGXCPU, which says why
    for name in ("RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NPROC", "RLIMIT_NOFILE"):
        _limit(name, 0, 0)


def _limit_memory(size: int, declared: int) -> None:
    """Limit this process's memory to what a file of that size with that many bytes of arrays needs."""
    _limit("RLIMIT_AS", memory_limit(size, declared), memory_limit(size, declared_limit(size)))


def _limit(name: str, soft: int, hard: int) -> None:
    kind = getattr(resource, name, None)
    if kind is not None:
        with contextlib.suppress(ValueError, OSError):  # the system has a lower limit already, or none of that kind
            resource.setrlimit(kind, (soft, hard))
