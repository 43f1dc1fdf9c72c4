"""What a result carries about its making, and what it must not."""

import json
import socket
from pathlib import Path

from neuroprivacy.core.progress import silent
from neuroprivacy.core.provenance import machine, provenance, versions


def test_everything_that_a_result_depends_on() -> None:
    found = provenance(command="train digits mlp", seed=3, threads=2, dataset="digits")
    assert (found["command"], found["seed"], found["threads"], found["dataset"]) == ("train digits mlp", 3, 2, "digits")
    assert {"python", "neuroprivacy", "torch", "numpy", "nir", "snntorch"} <= found["versions"].keys()
    assert found["machine"]["cores"] >= 1
    assert json.loads(json.dumps(found)) == found


def test_no_path_and_no_host_name() -> None:
    text = json.dumps([versions(), machine()])
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text


def test_silence() -> None:
    assert silent(1, 2, "text") is None
