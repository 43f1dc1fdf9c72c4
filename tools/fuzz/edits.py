"""Files that say something else: HDF5 that is whole, with other values, types, names and links.

Some edits may leave a legal file. Those that lead out of the file or in a circle may not: `Edit.forbidden`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

_REALS = (np.nan, np.inf, -np.inf, 0.0, -1.0, -1e-3, 1e300, 1e-300, 0.5)
_INTEGERS = (-(2**62), -(2**31), -2, -1, 0, 1, 2, 3, 7, 1000, 2**31, 2**62)
_WORDS = (
    "", "LIF", "Linear", "NIRGraph", "Identity", "__class__", "same", "valid", "full", "0.9", "1.0.8", "999.0", "a\nb",
    "../x", "x" * 5000, "input", "output",
)  # fmt: skip
_DTYPES = ("int8", "uint8", "int64", "float16", "float32", "float64", "bool", "complex128", "S4", ">f4", ">i8")


@dataclass(frozen=True, slots=True)
class Dice:
    """What an edit draws from, and the path of another file for edits that lead out of theirs."""

    rng: np.random.Generator
    outside: str

    def number(self, low: int, high: int | None = None) -> int:
        """An integer, as numpy's `integers`."""
        return int(self.rng.integers(low, high))

    def pick(self, values: Sequence[Any]) -> Any:
        """One of them."""
        return values[self.number(len(values))]


@dataclass(frozen=True, slots=True)
class Edit:
    """One way to change a file; `forbidden`: no result of it may be accepted."""

    name: str
    apply: Callable[[Any, Dice], None]
    forbidden: bool = False


def edited(content: bytes, edit: Edit, dice: Dice) -> bytes:
    """The file after the edit."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        edit.apply(file, dice)
    return stream.getvalue()


def _paths(file: Any, kind: type = object) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, kind) and name != "node" else None)
    return sorted(found)


def _numbers(file: Any, dice: Dice) -> str:
    """A dataset of numbers."""
    return str(dice.pick([p for p in _paths(file, h5py.Dataset) if file[p].dtype.kind in "iufb"]))


def _texts(file: Any, dice: Dice) -> str:
    return str(dice.pick([p for p in _paths(file, h5py.Dataset) if file[p].dtype.kind == "O" and not file[p].shape]))


def _replace(file: Any, path: str, value: Any, **options: Any) -> None:
    del file[path]
    file.create_dataset(path, data=value, **options)


def _value(file: Any, dice: Dice) -> None:
    path = _numbers(file, dice)
    values = np.array(file[path])
    choices = _REALS if values.dtype.kind == "f" else _INTEGERS
    with np.errstate(all="ignore"):
        new = np.array(dice.pick(choices)).astype(values.dtype)
    if values.size:
        values.reshape(-1)[dice.number(values.size)] = new
    _replace(file, path, values)


def _dims(file: Any, dice: Dice) -> None:
    path = _numbers(file, dice)
    values = np.array(file[path])
    ways: list[Callable[[Any], Any]] = [
        lambda v: v.T, lambda v: v.reshape(-1), lambda v: v[None], lambda v: v.reshape(-1)[:-1],
        lambda v: np.append(v, v), lambda v: v.reshape(-1)[:1], lambda v: v.reshape(-1)[0] if v.size else v,
        lambda v: np.ones((1,) * 9), lambda v: np.zeros((0, 3)), lambda v: np.repeat(np.atleast_1d(v), 2, axis=0),
    ]  # fmt: skip
    _replace(file, path, dice.pick(ways)(values))


def _dtype(file: Any, dice: Dice) -> None:
    path = _numbers(file, dice)
    with np.errstate(all="ignore"):
        _replace(file, path, np.array(file[path]).astype(dice.pick(_DTYPES)))


def _odd_type(file: Any, dice: Dice) -> None:
    path = _numbers(file, dice)
    shape = file[path].shape
    odd = (
        np.dtype([("a", "f4"), ("b", "i4")]), h5py.vlen_dtype(np.float32), h5py.ref_dtype, np.dtype("V5"),
        h5py.enum_dtype({"x": 1, "y": 2}), h5py.regionref_dtype, h5py.string_dtype(), np.dtype(("f4", (3,))),
    )  # fmt: skip
    del file[path]
    file.create_dataset(path, shape=shape, dtype=dice.pick(odd))


def _delete(file: Any, dice: Dice) -> None:
    del file[dice.pick(_paths(file))]


def _rename(file: Any, dice: Dice) -> None:
    path = dice.pick(_paths(file))
    new = dice.pick(("..", "xx", "x" * 300, "a\tb", "ünïcode", "type", "nodes", "metadata", "r", "tau", "weight"))
    parent = path.rpartition("/")[0]
    target = f"{parent}/{new}" if parent else new
    if target not in file:
        file.move(path, target)


def _exchange(file: Any, dice: Dice) -> None:
    first, second = _numbers(file, dice), _numbers(file, dice)
    values = np.array(file[first]), np.array(file[second])
    _replace(file, first, values[1])
    _replace(file, second, values[0])


def _word(file: Any, dice: Dice) -> None:
    _replace(file, _texts(file, dice), dice.pick(_WORDS), dtype=h5py.string_dtype())


def _edges(file: Any, dice: Dice) -> None:
    path = dice.pick([p for p in _paths(file, h5py.Dataset) if p.endswith("edges")])
    edges = [[end.decode() for end in edge] for edge in file[path][()]]
    ways: list[Callable[[Any], Any]] = [
        lambda e: [*e, e[0]], lambda e: e[1:], lambda e: [*e, ["nobody", e[0][1]]], lambda e: [p[::-1] for p in e],
        lambda e: [*e, [e[0][0], e[-1][1]]], lambda e: [p[:1] for p in e], lambda e: e[:1],
        lambda e: [*e, [e[-1][1], e[0][0]]],
    ]  # fmt: skip
    _replace(file, path, dice.pick(ways)(edges), dtype=h5py.string_dtype())


def _attributes(file: Any, dice: Dice) -> None:
    target = file[dice.pick(_paths(file))]
    for index in range(dice.number(1, 20)):
        target.attrs[f"a{index}"] = np.zeros(dice.number(1, 1000))


def _more(file: Any, dice: Dice) -> None:
    path = dice.pick(["", "node", *_paths(file, h5py.Group)])
    for _ in range(dice.number(1, 40)):
        path += "/more"
        if path in file:
            return
    file.create_group(path)


def _soft_link(file: Any, dice: Dice) -> None:
    path, other = dice.pick(_paths(file)), dice.pick(_paths(file))
    del file[path]
    file[path] = h5py.SoftLink("/" + other)


def _external_link(file: Any, dice: Dice) -> None:
    path = dice.pick(_paths(file))
    del file[path]
    file[path] = h5py.ExternalLink(dice.pick((dice.outside, "other.nir")), "/" + path)


def _hard_link(file: Any, dice: Dice) -> None:
    """A second name of an object, possibly of one that it lies in."""
    parent = dice.pick(["node", *_paths(file, h5py.Group)])
    file[parent + "/again"] = file[dice.pick(_paths(file))]


def _external_data(file: Any, dice: Dice) -> None:
    path = _numbers(file, dice)
    shape = file[path].shape
    del file[path]
    file.create_dataset(path, shape=shape or (4,), dtype="u1", external=[(dice.outside, 0, h5py.h5f.UNLIMITED)])


def _virtual(file: Any, dice: Dice) -> None:
    path = _numbers(file, dice)
    shape = file[path].shape or (1,)
    layout = h5py.VirtualLayout(shape=shape, dtype="f4")
    layout[...] = h5py.VirtualSource(dice.pick((".", dice.outside)), "x", shape=shape)
    del file[path]
    file.create_virtual_dataset(path, layout)


def _huge(file: Any, dice: Dice) -> None:
    path = _numbers(file, dice)
    del file[path]
    shape = dice.pick(((3, 4 * 10**9), (2**40,), (1, 1, 2**33), (2**20, 2**20)))
    file.create_dataset(path, shape=shape, dtype="f8", chunks=(1,) * (len(shape) - 1) + (1024,), compression="gzip")


EDITS = (
    Edit("value", _value), Edit("dims", _dims), Edit("dtype", _dtype), Edit("odd type", _odd_type),
    Edit("delete", _delete), Edit("rename", _rename), Edit("exchange", _exchange), Edit("word", _word),
    Edit("edges", _edges), Edit("attributes", _attributes), Edit("more", _more),
    Edit("soft link", _soft_link, forbidden=True), Edit("external link", _external_link, forbidden=True),
    Edit("hard link", _hard_link, forbidden=True), Edit("external data", _external_data, forbidden=True),
    Edit("virtual", _virtual, forbidden=True), Edit("huge", _huge, forbidden=True),
)  # fmt: skip
