"""Files made by hand, each with one fault, and what the refusal must say.

The faults are those that nir 1.0.8 accepts, crashes on, hangs on or answers with an empty assertion. The file is long
because it is one table: a row for each fault.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from tools.fuzz.corpus import as_nir_writes, graphs

#: What lies in another file, and may never come back.
SECRET = b"SECRETSECRET"
_NODES = "node/nodes/"
_TEXT = h5py.string_dtype()


@dataclass(frozen=True, slots=True)
class Malformed:
    """One bad file: how to make it at a path, and a part of the sentence that refuses it (a regular expression)."""

    name: str
    make: Callable[[Path], None]
    sentence: str


def malformed() -> tuple[Malformed, ...]:
    """All of them."""
    return (*_no_files(), *_links(), *_sizes(), *_types(), *_structures(), *_graphs(), *_values(), *_shapes())


def _bytes(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


@contextlib.contextmanager
def _changed(path: Path, graph: str = "dense", **options: Any) -> Iterator[Any]:
    path.write_bytes(as_nir_writes(graphs()[graph]))
    with h5py.File(path, "r+", **options) as file:
        yield file


def _edit(change: Callable[[Any], None], graph: str = "dense") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with _changed(path, graph) as file:
            change(file)

    return make


def _set(where: str, value: Any, graph: str = "dense", **options: Any) -> Callable[[Path], None]:
    """Replace a dataset; `where` counts from the nodes if it begins with one."""

    def change(file: Any) -> None:
        full = where if where.startswith(("node", "version")) else _NODES + where
        if full in file:
            del file[full]
        file.create_dataset(full, data=value, **options)

    return _edit(change, graph)


def _drop(where: str, graph: str = "dense") -> Callable[[Path], None]:
    def change(file: Any) -> None:
        del file[where]

    return _edit(change, graph)


def _element(where: str, value: float, graph: str = "dense") -> Callable[[Path], None]:
    def change(file: Any) -> None:
        data = file[_NODES + where]
        values = data[()]
        values.reshape(-1)[-1] = value
        data[...] = values

    return _edit(change, graph)


def _no_files() -> Iterator[Malformed]:
    good = as_nir_writes(graphs()["dense"])
    not_nir = r"is not a NIR file \(NIR files are HDF5\); export one with"
    yield Malformed("missing file", lambda path: None, r"cannot be read \(No such file or directory\)")
    yield Malformed("directory", lambda path: path.mkdir(), not_nir)
    yield Malformed("fifo", lambda path: os.mkfifo(path), not_nir)
    yield Malformed("link to itself", lambda path: path.symlink_to(path), r"cannot be read \(Too many levels")
    yield Malformed("device", lambda path: path.symlink_to(os.devnull), not_nir)
    yield Malformed("empty file", _bytes(b""), not_nir)
    yield Malformed("text file", _bytes(b"weights: [1, 2, 3]\n" * 100), not_nir)
    yield Malformed("pickle", _bytes(b"\x80\x04N."), not_nir)
    yield Malformed("only a signature", _bytes(good[:8]), r"is not a NIR graph \(damaged HDF5")
    yield Malformed("cut in the middle", _bytes(good[: len(good) // 2]), r"is not a NIR graph \(damaged HDF5")
    yield Malformed("cut at the end", _bytes(good[:-100]), r"is not a NIR graph \(damaged HDF5")
    yield Malformed("zeros after the signature", _bytes(good[:8] + bytes(5000)), r"is not a NIR graph \(damaged HDF5")
    yield Malformed("user block", _with_user_block, not_nir)


def _with_user_block(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["version"] = "1.0.8"


def _links() -> Iterator[Malformed]:
    weight = _NODES + "affine/weight"

    def external_data(path: Path) -> None:
        secret = path.with_suffix(".secret")
        secret.write_bytes(SECRET * 100)
        with _changed(path) as file:
            del file[weight]
            file.create_dataset(weight, (5, 4), "u1", external=[(str(secret), 0, 20)])

    def external_link(path: Path) -> None:
        with h5py.File(path.with_suffix(".other"), "w") as other:
            other["weight"] = np.frombuffer(SECRET * 5, np.uint8)[:20].reshape(5, 4)
        with _changed(path) as file:
            del file[weight]
            file[weight] = h5py.ExternalLink(str(path.with_suffix(".other")), "/weight")

    def virtual(path: Path) -> None:
        with h5py.File(path.with_suffix(".other"), "w") as other:
            other["weight"] = np.frombuffer(SECRET * 5, np.uint8)[:20].reshape(5, 4)
        layout = h5py.VirtualLayout((5, 4), "u1")
        layout[...] = h5py.VirtualSource(str(path.with_suffix(".other")), "weight", (5, 4))
        with _changed(path) as file:
            del file[weight]
            file.create_virtual_dataset(weight, layout)

    def soft(file: Any) -> None:
        del file[weight]
        file[weight] = h5py.SoftLink("/node/nodes/linear/weight")

    def soft_cycle(file: Any) -> None:
        file["node/nodes/affine/metadata"] = h5py.SoftLink("/node/nodes/affine")

    def hard_cycle(file: Any) -> None:
        file["node/nodes/again"] = file["node"]

    def hard_twice(file: Any) -> None:
        del file[_NODES + "lif/v_leak"]
        file[_NODES + "lif/v_leak"] = file[_NODES + "lif/v_reset"]

    def doubling(file: Any) -> None:
        at = file.create_group("node/metadata/bomb")
        for _ in range(16):
            below = at.create_group("a")
            at["b"] = below
            at = below

    def dangling(file: Any) -> None:
        file["node/metadata/none"] = h5py.SoftLink("/nowhere")

    def elsewhere(file: Any) -> None:
        file["unused"] = h5py.ExternalLink("other.nir", "/")

    yield Malformed("external data", external_data, "affine: weight: keeps its data in another file, which is not read")
    yield Malformed("external link", external_link, "affine: weight: is a link to somewhere else")
    yield Malformed("virtual dataset", virtual, "affine: weight: is a virtual dataset")
    yield Malformed("soft link", _edit(soft), "affine: weight: is a link to somewhere else")
    yield Malformed("soft link cycle", _edit(soft_cycle), "affine: metadata: is a link to somewhere else")
    yield Malformed("dangling soft link", _edit(dangling), "graph: metadata none: is a link to somewhere else")
    yield Malformed("hard link cycle", _edit(hard_cycle), "is the same object as another")
    yield Malformed("one object twice", _edit(hard_twice), "lif: v_reset: is the same object as another")
    yield Malformed("doubling groups", _edit(doubling), "is the same object as another")
    yield Malformed("link beside the graph", _edit(elsewhere), "/unused: is a link to somewhere else")


def _sizes() -> Iterator[Malformed]:
    def declared(shape: tuple[int, ...]) -> Callable[[Path], None]:
        def change(file: Any) -> None:
            del file[_NODES + "affine/weight"]
            file.create_dataset(_NODES + "affine/weight", shape, "f4", chunks=(1, 2**16), compression="gzip")

        return _edit(change)

    def bomb(file: Any) -> None:
        del file[_NODES + "affine/weight"]
        data = file.create_dataset(
            _NODES + "affine/weight", (1200, 2**20), "u1", chunks=(16, 2**20), compression="gzip"
        )
        for start in range(0, 160, 16):
            data[start : start + 16] = 0

    def chunk_bomb(file: Any) -> None:
        """A chunk of 24 bytes whose packed bytes, 2 MB of them, give 2 GiB."""
        packer = zlib.compressobj()
        head = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
        block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
        del file[_NODES + "scale/scale"]
        data = file.create_dataset(_NODES + "scale/scale", (3,), "f8", chunks=(3,), compression="gzip")
        data.id.write_direct_chunk((0,), head + block * 2047 + packer.flush())

    def deep(file: Any) -> None:
        file.create_group("node/metadata/" + "/".join("x" * 3000))

    def many(file: Any) -> None:
        group = file.create_group("node/metadata/many")
        for index in range(50_001):
            group.create_group(str(index))

    def attribute(file: Any) -> None:
        for index in range(3):
            file["node"].attrs[f"a{index}"] = np.zeros(6000)

    def many_texts(file: Any) -> None:
        file.create_dataset("node/metadata/texts", (5 * 2**20,), "S1")

    def long_text(file: Any) -> None:
        file.create_dataset("node/metadata/text", data="x" * (5 * 2**20), dtype=_TEXT)

    def axes(file: Any) -> None:
        file["node/metadata/axes"] = np.zeros((1,) * 12)

    too_much = "declares [0-9]+ bytes of arrays, the limit for its size is"
    yield Malformed("declared 44 GiB", declared((3, 4 * 10**9)), "affine: weight: the file " + too_much)
    yield Malformed("declared 2^62", declared((2**31, 2**31)), "affine: weight: the file " + too_much)
    yield Malformed("gzip bomb", _edit(bomb), "affine: weight: the file " + too_much)
    yield Malformed("bomb in one chunk", _edit(chunk_bomb), r"damaged HDF5.*(filter|memory)")
    yield Malformed("groups 3000 deep", _edit(deep), "groups are nested deeper than 24")
    yield Malformed("50,001 groups", _edit(many), "the file holds more than 50000 objects")
    yield Malformed("huge attribute", _edit(attribute), "graph: has attributes of more than 65536 bytes")
    yield Malformed("5 million texts", _edit(many_texts), "graph: metadata texts: holds 5242880 texts")
    yield Malformed("long text", _edit(long_text), "the file holds more than 4194304 bytes of text")
    yield Malformed("12 axes", _edit(axes), "graph: metadata axes: has 12 axes, the limit is 8")


def _types() -> Iterator[Malformed]:
    def empty_of(dtype: Any, where: str = "affine/weight") -> Callable[[Path], None]:
        def change(file: Any) -> None:
            del file[_NODES + where]
            file.create_dataset(_NODES + where, (5, 4), dtype)

        return _edit(change)

    def named_type(file: Any) -> None:
        file["node/metadata/named"] = np.dtype("f8")

    def null(file: Any) -> None:
        file["node/metadata/null"] = h5py.Empty("f8")

    def squeezed(file: Any) -> None:
        del file[_NODES + "linear/weight"]
        file.create_dataset(_NODES + "linear/weight", data=np.ones((3, 5), np.int8), scaleoffset=4)

    weight = np.full((5, 4), "a", "S3")
    yield Malformed("weights of text", _set("affine/weight", weight), "affine: weight holds text, not numbers")
    yield Malformed("complex weights", _set("affine/weight", np.ones((5, 4), complex)), "affine: weight: holds ")
    yield Malformed("compound", empty_of([("a", "f4"), ("b", "f4")]), "affine: weight: holds compound values, not")
    yield Malformed("lists", empty_of(h5py.vlen_dtype(np.float32)), "affine: weight: holds lists of varying length")
    yield Malformed("references", empty_of(h5py.ref_dtype), "affine: weight: holds references, not numbers")
    yield Malformed("region references", empty_of(h5py.regionref_dtype), "affine: weight: holds references, not")
    yield Malformed("opaque", empty_of("V5"), "affine: weight: holds opaque bytes, not numbers")
    yield Malformed("arrays of arrays", empty_of(np.dtype(("f4", (3,)))), "affine: weight: holds arrays of arrays")
    yield Malformed("enumeration", empty_of(h5py.enum_dtype({"a": 1})), "affine: weight: holds enumerated values")
    yield Malformed("long doubles", empty_of(np.longdouble), "affine: weight: holds (float|values)")
    yield Malformed("named type", _edit(named_type), "graph: metadata named: is neither a group nor a dataset")
    yield Malformed("no value", _edit(null), "graph: metadata null: is empty")
    yield Malformed("odd filter", _edit(squeezed), "linear: weight: is compressed in a way that is not known here")
    yield Malformed("field is a group", _edit(lambda f: _group(f, "affine/bias")), "affine: bias holds a group, not")
    yield Malformed("text is no UTF-8", _set("node/metadata/made_by", b"\xff\xfe"), "holds text that is not UTF-8")
    yield Malformed("type is a number", _set("lif/type", 3), "lif: type is no text")


def _group(file: Any, where: str) -> None:
    del file[_NODES + where]
    file.create_group(_NODES + where)


def _structures() -> Iterator[Malformed]:
    def only_array(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["x"] = np.ones(3)

    def single(path: Path) -> None:
        path.write_bytes(as_nir_writes(nir.Linear(weight=np.ones((2, 2)))))

    def renamed(new: str) -> Callable[[Path], None]:
        def change(file: Any) -> None:
            file.move(_NODES + "lif", _NODES + new)

        return _edit(change)

    def raw_name(new: bytes) -> Callable[[Path], None]:
        """A name that HDF5's own calls would not write."""

        def make(path: Path) -> None:
            with _changed(path) as file:
                file.move(_NODES + "linear", _NODES + "NAMEXY")
            path.write_bytes(path.read_bytes().replace(b"NAMEXY", new))

        return make

    nodes = "node/nodes"
    yield Malformed("HDF5 of something else", only_array, r"is not a NIR graph \(it states no version\)")
    yield Malformed("no version", _drop("version"), r"is not a NIR graph \(it states no version\); write it with")
    yield Malformed("version 999.0", _set("version", "999.0"), "is of NIR version '999.0', versions 0 and 1 are known")
    yield Malformed("version is a number", _set("version", 1.0), "graph: version is no text")
    yield Malformed("no node", _drop("node"), r"is not a NIR graph \(it has no group 'node'\)")
    yield Malformed("graph is an array", _edit(_node_is_an_array), r"is not a NIR graph \(it has no group 'node'\)")
    yield Malformed("single node", single, r"is not a NIR graph \(it holds a single Linear\); put it into a NIRGraph")
    yield Malformed("no nodes", _drop(nodes), "graph: has no nodes")
    yield Malformed("no type", _drop(nodes + "/lif/type"), "lif: states no type")
    yield Malformed("unknown type", _set("lif/type", "Identity"), "lif: is of the type 'Identity', which NIR does not")
    yield Malformed("dunder type", _set("lif/type", "__builtins__"), "lif: is of the type '__builtins__', which NIR")
    yield Malformed("unknown field", _set("lif/colour", 3), "lif: has a field 'colour', a LIF of NIR has none")
    yield Malformed("type_check", _set("node/type_check", True), "graph: has a field 'type_check', a NIRGraph of NIR")
    yield Malformed("no threshold", _drop(nodes + "/lif/v_threshold"), "lif: has no v_threshold, which a LIF needs")
    yield Malformed("node is an array", _set("extra", 3), "extra: is no group of fields")
    yield Malformed("name is a path up", renamed(".."), "graph: the name '..' is a path; rename it")
    yield Malformed("very long name", renamed("x" * 5000), "has 5000 characters, 1 to 200 are allowed; rename it")
    yield Malformed("name with a line", renamed("a\nb"), "the name .* has characters that cannot be shown")
    yield Malformed("name with an escape", renamed("\x1b[2Jboo"), "the name .* has characters that cannot be shown")
    yield Malformed("name turned around", renamed("a\u202eb"), "the name .* has characters that cannot be shown")
    yield Malformed("name with a slash", raw_name(b"../xyz"), "damaged HDF5.*component not found")
    yield Malformed("name a/b", raw_name(b"a/bcde"), "damaged HDF5.*component not found")
    yield Malformed("name is empty", raw_name(b"\0AMEXY"), r"damaged HDF5.*invalid link name")
    yield Malformed("name is no UTF-8", raw_name(b"\xff\xfeMEXY"), "a name that is not UTF-8")
    yield Malformed("two nodes of one name", raw_name(b"lif\0XY"), "lif: is the same object as another")


def _node_is_an_array(file: Any) -> None:
    del file["node"]
    file["node"] = np.ones(3)


def _graphs() -> Iterator[Malformed]:
    edges = [["input", "affine"], ["affine", "lif"], ["lif", "linear"], ["linear", "scale"], ["scale", "delay"],
             ["delay", "readout"], ["readout", "output"]]  # fmt: skip

    def with_edges(value: Any, dtype: Any = _TEXT) -> Callable[[Path], None]:
        return _set("node/edges", value, dtype=dtype)

    def recursion(file: Any) -> None:
        at = file[_NODES]
        for _ in range(10):
            at = at.create_group("inner")
            at.create_dataset("type", data="NIRGraph", dtype=_TEXT)
            at = at.create_group("nodes")

    def without(kind: str) -> Callable[[Path], None]:
        def change(file: Any) -> None:
            del file[_NODES + kind]
            kept = [edge for edge in edges if kind not in edge]
            del file["node/edges"]
            file.create_dataset("node/edges", data=kept, dtype=_TEXT)

        return _edit(change)

    inner = "node/nodes/block/edges"
    yield Malformed("no edges", _drop("node/edges"), "graph: has no edges; join its nodes")
    yield Malformed("empty edges", with_edges(np.zeros((0,)), "f8"), "graph: has no edges; join its nodes")
    yield Malformed("edges are numbers", with_edges(np.ones((6, 2)), "f8"), "graph: edges is no list of pairs")
    yield Malformed("edges are triples", with_edges([[*e, "x"] for e in edges]), "graph: edges is no list of pairs")
    yield Malformed("edges are flat", with_edges(np.ravel(edges).astype(object)), "graph: edges is no list of pairs")
    yield Malformed(
        "dangling edge", with_edges([*edges, ["ghost", "lif"]]), "the edge ghost -> lif joins 'ghost', which is no node"
    )
    yield Malformed("edge twice", with_edges([*edges, edges[1]]), "the edge affine -> lif is there twice; remove one")
    yield Malformed("output not reached", with_edges(edges[:-1]), "graph: no output can be reached from an input")
    yield Malformed("no input", without("input"), "graph: has no Input node; add an Input node")
    yield Malformed("no output", without("output"), "graph: has no Output node; add an Output node")
    yield Malformed("graphs 10 deep", _edit(recursion), "graphs are nested deeper than 8")
    yield Malformed("nested without edges", _drop(inner, "nested"), "block: has no edges")
    yield Malformed(
        "nested value", _element("block/nodes/cell/nodes/lif/tau", 0, "nested"),
        r"block/cell/lif: tau \(0.0\) is not positive",
    )  # fmt: skip
    yield Malformed(
        "nested shape", _set("block/nodes/w/weight", np.ones((3, 4)), "nested"),
        r"block/w: takes \(4,\), but block/cell gives \(3,\)",
    )  # fmt: skip


def _values() -> Iterator[Malformed]:
    conv, pool = "conv2/", "average/"
    finite = "holds a value that is not finite"
    yield Malformed("NaN weight", _element("affine/weight", np.nan), "affine: weight " + finite)
    yield Malformed("infinite bias", _element("affine/bias", -np.inf), "affine: bias " + finite)
    yield Malformed("infinite threshold", _element("lif/v_threshold", np.inf), "lif: v_threshold " + finite)
    yield Malformed("NaN in half precision", _element("linear/weight", np.nan, "image"), "linear: weight " + finite)
    yield Malformed("NaN metadata", _set("node/metadata/dt", np.nan), "graph: metadata dt " + finite)
    yield Malformed("tau 0", _element("lif/tau", 0), r"lif: tau \(0.0\) is not positive")
    yield Malformed("tau -1", _element("lif/tau", -1), r"lif: tau \(-1.0\) is not positive")
    yield Malformed("tau NaN", _element("lif/tau", np.nan), "lif: tau " + finite)
    yield Malformed("tau_mem 0", _element("neurons/tau_mem", 0, "signal"), r"neurons: tau_mem \(0.0\) is not pos")
    yield Malformed("tau_syn -1", _element("cells/tau_syn", -1, "recurrent"), r"cells: tau_syn \(-1.0\) is not pos")
    yield Malformed("r 0", _element("lif/r", 0), r"lif: r \(0.0\) is not positive")
    yield Malformed("delay -1", _element("delay/delay", -1), r"delay: delay \(-1.0\) is negative")
    yield Malformed("groups 0", _set(conv + "groups", 0, "image"), r"conv2: groups \(0\) is below 1")
    yield Malformed("groups 1.5", _set(conv + "groups", 1.5, "image"), "conv2: groups holds float64 values where int")
    yield Malformed("stride 0", _set(conv + "stride", (1, 0), "image"), r"conv2: stride \(0\) is below 1")
    yield Malformed("stride 2^40", _set(conv + "stride", 2**40, "image"), r"conv2: stride \(1099511627776\) exceeds")
    yield Malformed("dilation 0", _set(conv + "dilation", 0, "image"), r"conv2: dilation \(0\) is below 1")
    yield Malformed("padding -9", _set(conv + "padding", (-9, 0), "image"), r"conv2: padding \(-9\) is below 0")
    yield Malformed("padding full", _set(conv + "padding", "full", "image"), r"conv2: padding \('full'\) is neither")
    yield Malformed("pool window 0", _set(pool + "kernel_size", (2, 0), "pooled"), r"average: kernel_size \(0\) is")
    yield Malformed("pool padding", _set(pool + "padding", "same", "pooled"), "average: padding of a pool is numbers")
    yield Malformed("flatten axis", _set("flatten/start_dim", 7, "image"), r"flatten: start_dim \(7\) is no axis of")
    yield Malformed("flatten order", _set("flatten/end_dim", 0, "image"), r"linear: takes \(96,\), but flatten gives")
    yield Malformed("input shape -3", _set("input/shape", np.array([-3])), r"input: shape \(-3,\) is no shape")
    yield Malformed("input shape 2^62", _set("input/shape", np.array([2**31, 2**31])), "input: shape .* is no shape")
    yield Malformed("input shape floats", _set("input/shape", np.array([4.0])), "input: shape holds float64 values")


def _shapes() -> Iterator[Malformed]:
    conv = "conv2/"
    yield Malformed("bias of 99", _set("affine/bias", np.zeros(99)), r"affine: bias has the shape \(99,\), the weight")
    yield Malformed("scalar bias", _set("affine/bias", 0.5), r"affine: bias has the shape \(\), the weight \(5, 4\)")
    yield Malformed("flat weight", _set("affine/weight", np.ones(20)), r"affine: weight has the shape \(20,\)")
    yield Malformed("empty weight", _set("affine/weight", np.ones((0, 4))), "affine: weight is empty")
    yield Malformed("tau of 3", _set("lif/tau", np.ones(3)), r"lif: tau has the shape \(3,\), r has \(5,\); give")
    yield Malformed("too few neurons", _few_neurons, r"lif: takes \(3,\), but affine gives \(5,\)")
    yield Malformed("wrong inputs", _set("linear/weight", np.ones((3, 6))), r"linear: takes \(6,\), but lif gives \(5")
    yield Malformed("wrong output", _set("output/shape", np.array([4])), r"output: takes \(4,\), but readout gives \(3")
    yield Malformed("w_in", _set("cells/w_in", np.ones(3), "recurrent"), r"cells: w_in has the shape \(3,\)")
    yield Malformed("groups 3", _set(conv + "groups", 3, "image"), r"conv2: groups \(3\) does not divide its 4")
    yield Malformed("other groups", _set(conv + "groups", 4, "image"), r"conv2: takes \(8, 6, 4\), but if1 gives")
    yield Malformed("kernel of 3 axes", _set(conv + "weight", np.ones((4, 2, 3)), "image"), "conv2: weight has")
    yield Malformed("conv bias", _set(conv + "bias", np.zeros(2), "image"), r"conv2: bias has the shape \(2,\)")
    yield Malformed(
        "kernel larger than input", _set("conv1/weight", np.ones((4, 2, 9, 2)), "image"),
        r"conv1: the kernel \(9, 2\) with dilation \(1, 1\) is larger than its padded input \(8, 8\); make it smaller",
    )  # fmt: skip
    yield Malformed(
        "dilated kernel",
        _set("conv/dilation", 20, "signal"),
        r"conv: the kernel \(4,\) with dilation \(20,\) is",
    )
    yield Malformed("pool larger than input", _set("sum/kernel_size", (9, 9), "pooled"), r"sum: the kernel \(9, 9\)")
    yield Malformed("input_shape", _set(conv + "input_shape", (5, 4), "image"), r"conv2: takes \(4, 5, 4\), but if1")
    yield Malformed("input_shape of 3", _set(conv + "input_shape", (4, 6, 4), "image"), "conv2: input_shape has the sh")
    yield Malformed("stride of 3", _set(conv + "stride", (1, 1, 1), "image"), r"conv2: stride has the shape \(3,\)")
    yield Malformed("second path", _second_path, r"up: takes \(3,\), but in b gives \(2,\)")


def _few_neurons(path: Path) -> None:
    with _changed(path) as file:
        for name in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
            del file[_NODES + "lif/" + name]
            file[_NODES + "lif/" + name] = np.ones(3)


def _second_path(path: Path) -> None:
    with _changed(path, "recurrent") as file:
        edges = [[end.decode() for end in edge] for edge in file["node/edges"][()]]
        del file["node/edges"]
        file.create_dataset("node/edges", data=[*edges, ["in b", "up"]], dtype=_TEXT)
