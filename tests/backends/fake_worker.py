"""Stands in for the Lava worker in tests: the same protocol, one kind of misbehaviour, any Python."""

import json
import os
import signal
import subprocess
import sys
import time

SLEEPER = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""


def note(**values: object) -> None:
    """Tell the test which processes there are: a file named by the environment, written in one step."""
    path = os.environ["FAKE_WORKER_NOTE"]
    with open(f"{path}.partial", "w") as stream:
        json.dump(values, stream)
    os.replace(f"{path}.partial", path)


def respond(folder: str, text: str) -> None:
    with open(os.path.join(folder, "response.partial"), "w") as stream:
        stream.write(text)
    os.replace(os.path.join(folder, "response.partial"), os.path.join(folder, "response.json"))


def echo(folder: str) -> None:
    """Answer with the input itself."""
    import numpy as np

    with open(os.path.join(folder, "request.json")) as stream:
        request = json.load(stream)
    with np.load(os.path.join(folder, "arrays.npz"), allow_pickle=False) as archive:
        arrays = {f"array{i}": archive[f"port{i}"] for i in range(len(request["ports"]))}
    np.savez(os.path.join(folder, "result.npz"), **arrays)
    names = [f"echo.{port}" for port in request["ports"]]
    respond(folder, json.dumps({"ok": True, "names": names, "versions": {"fake": str(os.getpid())}}))


def misbehave(kind: str, folder: str) -> None:
    if kind == "crash":
        print("Traceback (most recent call last):\nValueError: the core is on fire", file=sys.stderr, flush=True)
        os._exit(7)
    elif kind == "quiet-crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "uv-error":
        print("error: No interpreter found for Python 3.10", file=sys.stderr, flush=True)
        os._exit(2)
    elif kind == "not-json":
        respond(folder, "{ok: yes")
    elif kind == "not-an-object":
        respond(folder, "[1, 2]")
    elif kind == "lacks-fields":
        respond(folder, json.dumps({"ok": True, "names": []}))
    elif kind == "error":
        trace = "Traceback (most recent call last):\n  in lava\nKeyError: 'vth'"
        respond(folder, json.dumps({"ok": False, "error": "KeyError: 'vth'", "traceback": trace}))
    elif kind == "no-result":
        respond(folder, json.dumps({"ok": True, "names": ["a"], "versions": {}}))
    elif kind == "bad-result":
        with open(os.path.join(folder, "result.npz"), "wb") as stream:
            stream.write(b"PK\x03\x04 no archive")
        respond(folder, json.dumps({"ok": True, "names": ["a"], "versions": {}}))
    elif kind in ("hang", "stubborn"):
        if kind == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        note(worker=os.getpid(), child=child.pid)
        time.sleep(600)
    else:
        echo(folder)


if __name__ == "__main__":
    for line in sys.stdin:
        misbehave(sys.argv[1], line.strip())
