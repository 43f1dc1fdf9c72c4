"""The parent believes nothing of what the reading process sends."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroprivacy.graph.fault import Fault
from neuroprivacy.graph.message import pack_fault, pack_tree, unpack
from neuroprivacy.graph.tree import Tree


def received(payload: bytes, *, limit_bytes: int = 10**6) -> Tree:
    at = 0

    def read(number: int) -> bytes:
        nonlocal at
        if at + number > len(payload):
            raise Fault("broke off", kind="crash")
        at += number
        return payload[at - number : at]

    def read_into(array: np.ndarray) -> None:
        array.reshape(-1).view(np.uint8)[:] = np.frombuffer(read(array.nbytes), np.uint8)

    return unpack(read, read_into, limit_bytes=limit_bytes)


def said(head: Any, arrays: bytes = b"") -> bytes:
    payload = json.dumps(head).encode()
    return struct.pack("<Q", len(payload)) + payload + arrays


def test_a_tree_arrives_as_it_was() -> None:
    tree: Tree = {
        "a": np.arange(6.0).reshape(2, 3), "b": {"c": np.array(3, np.int8), "t": "text", "e": {}},
        "l": [["x", ""], ["y", "ü"]], "z": np.zeros((0, 4), np.float16), "": "a name that is empty",
    }  # fmt: skip
    del tree[""]
    head, arrays = pack_tree(tree)
    found = received(head + b"".join(array.tobytes() for array in arrays))
    assert found["l"] == tree["l"]
    for path in (("a",), ("b", "c"), ("z",)):
        ours: Any = tree
        theirs: Any = found
        for name in path:
            ours, theirs = ours[name], theirs[name]
        assert (theirs.dtype, theirs.shape, theirs.tolist()) == (ours.dtype, ours.shape, ours.tolist())


def test_a_fault_arrives_as_it_was() -> None:
    with pytest.raises(Fault) as caught:
        received(pack_fault(Fault("lif: is bad", kind="value", hint="mend it")))
    assert (caught.value.reason, caught.value.hint, caught.value.kind) == ("lif: is bad", "mend it", "value")


ARRAY = ["<f8", [2]]


@pytest.mark.parametrize(
    "head",
    [
        [], "text", None, 3, {}, {"tree": {}}, {"tree": [], "arrays": []}, {"tree": {"a": 3}, "arrays": []},
        {"tree": {"a": None}, "arrays": []}, {"tree": {"a": [1]}, "arrays": []}, {"tree": {"a": {"": 0}}, "arrays": []},
        {"tree": {"a": {"": -2}}, "arrays": [ARRAY]}, {"tree": {"a": {"": "0"}}, "arrays": [ARRAY]},
        {"tree": {}, "arrays": [["|O", [2]]]}, {"tree": {}, "arrays": [["<f8", [-2]]]},
        {"tree": {}, "arrays": [["<f8", [10**12]]]}, {"tree": {}, "arrays": [["<f8", [2.0]]]},
        {"tree": {}, "arrays": [["<f8", [True]]]}, {"tree": {}, "arrays": [["<f8", [1] * 9]]},
        {"tree": {}, "arrays": [["<f8", [0, 10**30]]]}, {"tree": {}, "arrays": [ARRAY] * 50_001},
        {"tree": {}, "arrays": [["V8", [1]]]}, {"tree": {}, "arrays": [[["<f8"], [1]]]}, {"tree": {}, "arrays": 3},
        {"fault": 3}, {"fault": ["a"]}, {"fault": [1, 2, 3, 4]},
    ],
)  # fmt: skip
def test_nonsense_is_refused(head: Any) -> None:
    with pytest.raises(Fault, match="reading it went astray"):
        received(said(head, bytes(16)))


def test_a_fault_of_strange_text_is_one_short_line() -> None:
    with pytest.raises(Fault) as caught:
        received(said({"fault": ["a\nb\x1b[2J" + "x" * 10**5, 3, "no such kind"]}))
    assert "\n" not in caught.value.reason
    assert "\x1b" not in caught.value.reason
    assert len(caught.value.reason) <= 500
    assert caught.value.kind == "hdf5"


def test_sizes_are_bounded_before_anything_is_allocated() -> None:
    with pytest.raises(Fault, match="went astray"):
        received(struct.pack("<Q", 2**62))
    with pytest.raises(Fault, match="went astray"):
        received(said({"tree": {}, "arrays": [["<f8", [126]]]}), limit_bytes=1000)
    with pytest.raises(Fault, match="went astray"):
        received(struct.pack("<Q", 200_000) + b"[" * 200_000)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_fault(content: bytes, framed: bool) -> None:
    with pytest.raises(Fault):
        received(struct.pack("<Q", len(content)) + content if framed else content)
