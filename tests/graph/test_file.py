"""NIR files from strangers: a graph with finite numbers, or one clear sentence."""

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from neuroprivacy.core.errors import BadFile
from neuroprivacy.graph import load_nir, save_nir


def graph(**changes: object) -> nir.NIRGraph:
    fields = {
        "tau": np.full(3, 1e-3), "r": np.ones(3), "v_leak": np.zeros(3), "v_threshold": np.ones(3),
        "v_reset": np.zeros(3),
    }  # fmt: skip
    weight = changes.pop("weight", np.ones((3, 4), np.float32))
    return nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([4])}),
            "fc": nir.Linear(weight=weight),
            "lif": nir.LIF(**{**fields, **changes}),
            "output": nir.Output({"output": np.array([3])}),
        },
        edges=[("input", "fc"), ("fc", "lif"), ("lif", "output")],
    )


def test_saving_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    path.write_bytes(b"old")
    save_nir(graph(), path)
    np.testing.assert_array_equal(load_nir(path).nodes["fc"].weight, np.ones((3, 4)))
    assert [p.name for p in tmp_path.iterdir()] == ["a.nir"]


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 50])
def test_files_that_are_no_graph(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    path.write_bytes(content)
    refused(path, r"a\.nir: is not a NIR ")


def refused(path: Path, sentence: str) -> None:
    with pytest.raises(BadFile, match=sentence) as caught:
        load_nir(path)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.nir", r"none\.nir: cannot be read \(No such file or directory\)")
    refused(tmp_path, r"is not a NIR file \(NIR files are HDF5\); export one with")


def test_truncated(tmp_path: Path) -> None:
    path = save_nir(graph(), tmp_path / "a.nir")
    path.write_bytes(path.read_bytes()[:-200])
    refused(path, "is not a NIR graph")


def test_hdf5_of_something_else(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nir", "w") as file:
        file["x"] = np.ones(3)
    refused(tmp_path / "a.nir", "is not a NIR graph")


def test_a_single_node_is_no_graph(tmp_path: Path) -> None:
    nir.write(tmp_path / "a.nir", nir.Linear(weight=np.ones((2, 2))))
    refused(tmp_path / "a.nir", "NIR")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_nir(graph(), tmp_path / "a.nir")
    monkeypatch.setattr("neuroprivacy.graph.file.MAX_FILE_BYTES", 100)
    refused(path, "bytes, the limit is 100")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weight": np.array([[1, np.nan, 0, 0]] * 3)}, "fc: weight holds a value that is not finite"),
        ({"weight": np.array([[1, np.inf, 0, 0]] * 3)}, "fc: weight holds a value that is not finite"),
        ({"v_threshold": np.array([1, np.nan, 1])}, "lif: v_threshold holds a value that is not finite"),
        ({"tau": np.array([1e-3, 0, 1e-3])}, r"lif: tau \(0.0\) is not positive"),
        ({"tau": np.array([1e-3, -1e-3, 1e-3])}, r"lif: tau \(-0.001\) is not positive"),
        ({"r": np.array([1.0, 0, 1])}, r"lif: r \(0.0\) is not positive"),
    ],
)
def test_values_that_no_network_can_have(changes: dict, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    nir.write(path, graph(**changes))
    refused(path, sentence)


def test_text_where_numbers_belong(tmp_path: Path) -> None:
    path = save_nir(graph(), tmp_path / "a.nir")
    with h5py.File(path, "r+") as file:
        del file["node/nodes/fc/weight"]
        file["node/nodes/fc/weight"] = np.array([[b"a", b"b"], [b"c", b"d"]])
    refused(path, "NIR graph|fc: weight holds")
