"""What other writers may put into a file: every legal form is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from neuroprivacy.core.errors import BadFile
from neuroprivacy.graph import load_nir, save_nir
from neuroprivacy.lowering import lower
from tools.fuzz.corpus import as_nir_writes, graphs
from tools.fuzz.judge import same_graph


def rewritten(path: Path, name: str, change: Callable[[Any], None]) -> nir.NIRGraph:
    path.write_bytes(as_nir_writes(graphs()[name]))
    with h5py.File(path, "r+") as file:
        change(file["node/nodes"])
    return load_nir(path)


def put(group: Any, name: str, value: Any, **options: Any) -> None:
    del group[name]
    group.create_dataset(name, data=value, **options)


def test_files_from_before_v_reset(tmp_path: Path) -> None:
    found = rewritten(tmp_path / "a.nir", "dense", lambda nodes: nodes["lif"].pop("v_reset"))
    assert found.nodes["lif"].v_reset.tolist() == [0.0] * 5
    found = rewritten(tmp_path / "a.nir", "signal", lambda nodes: nodes["neurons"].pop("v_reset"))
    assert not found.nodes["neurons"].v_reset.any()


def test_without_w_in_or_with_one_for_all(tmp_path: Path) -> None:
    found = rewritten(tmp_path / "a.nir", "recurrent", lambda nodes: nodes["cells"].pop("w_in"))
    assert found.nodes["cells"].w_in.tolist() == [1.0] * 4
    found = rewritten(tmp_path / "a.nir", "recurrent", lambda nodes: put(nodes["cells"], "w_in", 2.5))
    assert found.nodes["cells"].w_in.tolist() == [2.5] * 4


def test_shapes_that_are_left_to_the_reader(tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        del nodes["conv1/input_shape"], nodes["conv2/input_shape"], nodes["flatten/input_type"]

    found = rewritten(tmp_path / "a.nir", "image", change)
    assert found.nodes["conv1"].input_shape is None
    assert found.nodes["conv1"].input_type["input"].tolist() == [2, 6, 8]
    assert found.nodes["flatten"].output_type["output"].tolist() == [96]


def test_one_number_for_both_axes_and_lists_of_one(tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        for field in ("stride", "padding", "dilation", "input_shape"):
            put(nodes["conv"], field, np.array([int(nodes["conv"][field][()])]))

    found = rewritten(tmp_path / "a.nir", "signal", change)
    assert found.nodes["conv"].output_type["output"].tolist() == [3, 8]
    found = rewritten(tmp_path / "a.nir", "pooled", lambda nodes: put(nodes["average"], "stride", 1))
    assert found.nodes["average"].output_type["output"].tolist() == [2, 5, 1]


@pytest.mark.parametrize("packing", [{}, {"compression": "lzf"}, {"shuffle": True, "fletcher32": True}])
def test_other_packings(packing: dict[str, Any], tmp_path: Path) -> None:
    weight = graphs()["dense"].nodes["affine"].weight
    found = rewritten(tmp_path / "a.nir", "dense", lambda nodes: put(nodes["affine"], "weight", weight, **packing))
    np.testing.assert_array_equal(found.nodes["affine"].weight, weight)


def test_big_endian_numbers_come_in_the_order_of_this_machine(tmp_path: Path) -> None:
    weight = graphs()["dense"].nodes["affine"].weight
    found = rewritten(tmp_path / "a.nir", "dense", lambda nodes: put(nodes["affine"], "weight", weight.astype(">f4")))
    assert found.nodes["affine"].weight.dtype == np.float32
    np.testing.assert_array_equal(found.nodes["affine"].weight, weight)


def test_text_of_fixed_length(tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        put(nodes["lif"], "type", np.array(b"LIF"))
        put(nodes.parent, "edges", np.char.encode(np.array(graphs()["dense"].edges, str), "ascii"))

    assert same_graph(rewritten(tmp_path / "a.nir", "dense", change).edges, graphs()["dense"].edges)


@pytest.mark.parametrize("version", ["0.1.0", "0.2", "1.0", "1.0.5", "1.1.0", "1.0.9.dev3+g1234abc", "1.0rc1"])
def test_versions_of_this_layout(version: str, tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        put(nodes.file, "version", version)

    rewritten(tmp_path / "a.nir", "dense", change)


def test_the_newest_form_of_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    path.write_bytes(as_nir_writes(graphs()["dense"]))
    with h5py.File(path, "r") as old, h5py.File(tmp_path / "b.nir", "w", libver="latest") as new:
        for name in ("version", "node"):
            old.copy(name, new)
    assert same_graph(load_nir(tmp_path / "b.nir"), load_nir(path))


def test_attributes_and_other_things_at_the_root_are_left_alone(tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        nodes.attrs["made by"] = "somebody"
        nodes.file["nir_data"] = np.ones(3)

    rewritten(tmp_path / "a.nir", "dense", change)


def test_names_of_any_script(tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        nodes.move("lif", "神経 1.b")
        edges = [[end.decode().replace("lif", "神経 1.b") for end in edge] for edge in nodes.parent["edges"][()]]
        put(nodes.parent, "edges", edges, dtype=h5py.string_dtype())

    assert "神経 1.b" in rewritten(tmp_path / "a.nir", "dense", change).nodes


def single(nodes: Any, name: str, value: Any) -> None:
    """One value for all neurons, as sinabs writes it."""
    for field in [field for field in nodes[name] if field not in ("type", "metadata")]:
        put(nodes[name], field, value)


@pytest.mark.parametrize("value", [1.5, [1.5], [[1.5]]], ids=["no axes", "one axis", "two axes"])
def test_neurons_that_hold_one_value_have_the_shape_of_what_feeds_them(value: Any, tmp_path: Path) -> None:
    found = rewritten(tmp_path / "a.nir", "dense", lambda nodes: single(nodes, "lif", np.array(value)))
    assert found.nodes["lif"].input_type["input"].tolist() == [5]
    assert found.nodes["lif"].output_type["output"].tolist() == [5]
    assert np.shape(found.nodes["lif"].tau) == np.shape(value)
    save_nir(found, tmp_path / "b.nir")
    assert same_graph(load_nir(tmp_path / "b.nir"), found)


def test_the_integers_of_neurons_that_hold_one_value(tmp_path: Path) -> None:
    def chain(nodes: Any, shape: tuple[int, ...]) -> None:
        for field, value in (("tau", 0.02), ("r", 1.0), ("v_leak", 0.0), ("v_threshold", 1.5), ("v_reset", 0.0)):
            put(nodes["lif"], field, np.full(shape, value))
        for name in ("linear", "scale", "delay", "readout"):
            del nodes[name]
        put(nodes["output"], "shape", np.array([5]))
        edges = [["input", "affine"], ["affine", "lif"], ["lif", "output"]]
        put(nodes.parent, "edges", edges, dtype=h5py.string_dtype())

    hashes = {
        lower(
            rewritten(tmp_path / "a.nir", "dense", lambda nodes, s=shape: chain(nodes, s)), target="int8"
        ).program.content_hash  # type: ignore[misc]
        for shape in ((), (1,), (5,))
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("ones", [1, 2])
def test_axes_of_one_before_input_and_output_are_the_batch(ones: int, tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        put(nodes["input"], "shape", np.array([*[1] * ones, 4]))
        put(nodes["output"], "shape", np.array([*[1] * ones, 3]))

    found = rewritten(tmp_path / "a.nir", "dense", change)
    assert found.nodes["input"].output_type["output"].tolist() == [4]
    assert found.nodes["output"].input_type["input"].tolist() == [3]
    assert same_graph(found, load_nir_of("dense", tmp_path))


def test_the_batch_of_an_image(tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        put(nodes["input"], "shape", np.array([1, 2, 6, 8]))
        del nodes["conv1/input_shape"]

    assert rewritten(tmp_path / "a.nir", "image", change).nodes["input"].input_type["input"].tolist() == [2, 6, 8]


def load_nir_of(name: str, tmp_path: Path) -> nir.NIRGraph:
    return rewritten(tmp_path / "plain.nir", name, lambda nodes: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda nodes: put(nodes["input"], "shape", [2, 4]), r"affine: takes \(4,\), but input gives \(2, 4\)"),
        (lambda nodes: put(nodes["input"], "shape", [4, 1]), r"affine: takes \(4,\), but input gives \(4, 1\)"),
        (lambda nodes: put(nodes["input"], "shape", [1, 3]), r"affine: takes \(4,\), but input gives \(1, 3\)"),
        (lambda nodes: put(nodes["output"], "shape", [3, 1]), r"output: takes \(3, 1\), but readout gives \(3,\)"),
        (lambda nodes: put(nodes["output"], "shape", [1, 4]), r"output: takes \(1, 4\), but readout gives \(3,\)"),
        (lambda nodes: put(nodes["affine"], "weight", np.ones((1, 5, 4))), r"affine: bias has the shape"),
        (lambda nodes: put(nodes["lif"], "tau", 1.5), r"lif: tau has the shape \(\), r has \(5,\); give every neuron"),
        (lambda nodes: put(nodes["scale"], "scale", 1.5), r"scale: takes \(\), but linear gives \(3,\)"),
        (lambda nodes: put(nodes["delay"], "delay", [0.5]), r"delay: takes \(1,\), but scale gives \(3,\)"),
    ],
)  # fmt: skip
def test_every_other_shape_is_refused(change: Callable[[Any], None], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=sentence):
        rewritten(tmp_path / "a.nir", "dense", change)


def test_two_sources_of_one_output_agree(tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        put(nodes["output"], "shape", np.array([1, 3]))
        put(nodes["input"], "shape", np.array([1, 3]))
        put(nodes["affine"], "weight", np.ones((5, 3)))
        edges = [[end.decode() for end in edge] for edge in nodes.parent["edges"][()]]
        put(nodes.parent, "edges", [*edges, ["input", "output"]], dtype=h5py.string_dtype())

    assert rewritten(tmp_path / "a.nir", "dense", change).nodes["output"].input_type["input"].tolist() == [3]


def test_a_nested_graph_with_a_batch(tmp_path: Path) -> None:
    inner = next(name for name, node in graphs()["nested"].nodes.items() if isinstance(node, nir.NIRGraph))

    def change(nodes: Any) -> None:
        below = nodes[f"{inner}/nodes"]
        for name in below:
            if below[name]["type"][()] in (b"Input", b"Output"):
                put(below[name], "shape", np.array([1, *below[name]["shape"][()]]))

    assert same_graph(rewritten(tmp_path / "a.nir", "nested", change), load_nir_of("nested", tmp_path))
