"""The fields of one node: which are there, of what type, and which numbers they hold. Plain numpy, no nir."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.graph.fault import Fault, shown_name
from neuroprivacy.graph.limits import MAX_AXES, MAX_ELEMENTS, MAX_EXTENT, MAX_NAME
from neuroprivacy.graph.schema import NODES, SPACE, Field
from neuroprivacy.graph.tree import Leaf, Tree

_MAX_METADATA_DEPTH = 4


def check_fields(where: str, kind: str, node: Mapping[str, Leaf | Tree]) -> None:
    """All fields of one node that is no graph.

    Raises:
        Fault: one is missing, unknown, of the wrong type or shape, or holds a number that it cannot have.
    """
    fields = {field.name: field for field in NODES[kind]}
    for name in node:
        if name not in fields and name not in ("type", "metadata"):
            raise Fault(f"{where}: has a field {shown_name(name)!r}, a {kind} of NIR has none", kind="structure")
    for field in fields.values():
        if field.name in node:
            _check(f"{where}: {field.name}", field, node[field.name], SPACE.get(kind, 1))
        elif not field.optional:
            raise Fault(f"{where}: has no {field.name}, which a {kind} needs", kind="structure")
    check_metadata(where, node.get("metadata", {}))


def check_name(where: str, name: str) -> None:
    """A name that every HDF5 path, message and file of ours can hold.

    Raises:
        Fault: it cannot.
    """
    fault = None
    if not 0 < len(name) <= MAX_NAME:
        fault = f"has {len(name)} characters, 1 to {MAX_NAME} are allowed"
    elif "/" in name or name in (".", ".."):
        fault = "is a path"
    elif not name.isprintable():
        fault = "has characters that cannot be shown"
    if fault:
        raise Fault(f"{where}: the name {shown_name(name)!r} {fault}", kind="structure", hint="rename it")


def check_metadata(where: str, value: Leaf | Tree | None, depth: int = 0) -> None:
    """Text, finite numbers, arrays of both, and groups of them.

    Raises:
        Fault: it holds something else.
    """
    if depth == 0 and not isinstance(value, dict):
        raise Fault(f"{where}: metadata is no group", kind="type")
    if depth > _MAX_METADATA_DEPTH:
        raise Fault(f"{where}: metadata is nested deeper than {_MAX_METADATA_DEPTH}", kind="structure")
    if isinstance(value, dict):
        for name, below in value.items():
            check_name(f"{where}: metadata", name)
            check_metadata(f"{where}: metadata {shown_name(name)}" if depth == 0 else where, below, depth + 1)
    elif isinstance(value, np.ndarray):
        _finite(where, value)


def text(where: str, value: Leaf | Tree | None) -> str:
    """Read a single piece of text.

    Raises:
        Fault: it is none.
    """
    if not isinstance(value, str):
        raise Fault(f"{where} is no text", kind="type")
    return value


def extents(value: Leaf | Tree, number: int) -> tuple[int, ...]:
    """A checked field of integers as that many; one integer stands for all."""
    found = tuple(int(n) for n in np.ravel(np.asarray(value)))
    return found * number if len(found) == 1 else found


def _check(where: str, field: Field, value: Leaf | Tree, space: int) -> None:
    if field.rule == "padding" and isinstance(value, str):
        if value not in ("same", "valid"):
            raise Fault(f"{where} ({shown_name(value)!r}) is neither 'same' nor 'valid'", kind="value")
        return
    if not isinstance(value, np.ndarray):
        raise Fault(f"{where} holds {'a group' if isinstance(value, dict) else 'text'}, not numbers", kind="type")
    if field.rule in ("real", "positive", "nonnegative"):
        _finite(where, value)
        if not value.size:
            raise Fault(f"{where} is empty", kind="shape")
        low = value.min()
        if field.rule == "positive" and low <= 0:
            raise Fault(f"{where} ({low}) is not positive", kind="value")
        if field.rule == "nonnegative" and low < 0:
            raise Fault(f"{where} ({low}) is negative", kind="value")
        return
    _integers(where, field, value, space)


def _integers(where: str, field: Field, value: NDArray[Any], space: int) -> None:
    """Read strides, axes and shapes."""
    if value.dtype.kind not in "iu" and not (field.rule == "shape" and not value.size):
        raise Fault(f"{where} holds {value.dtype} values where integers belong", kind="type")
    if field.rule == "shape":
        if value.ndim != 1 or value.size > MAX_AXES:
            raise Fault(f"{where} is no list of up to {MAX_AXES} extents", kind="shape")
        found = tuple(int(n) for n in value)
        if any(n < 1 for n in found) or math.prod(found) > MAX_ELEMENTS:
            raise Fault(f"{where} {found} is no shape of 1 to {MAX_ELEMENTS} values", kind="shape")
        return
    allowed: tuple[tuple[int, ...], ...] = ((),) if field.rule in ("count", "axis") else ((), (1,), (space,))
    if value.shape not in allowed:
        raise Fault(f"{where} has the shape {value.shape}, {_wanted(allowed)}", kind="shape")
    if field.rule == "axis":
        return
    low, high = int(value.min()), int(value.max())
    least = 0 if field.rule == "padding" else 1
    if low < least:
        raise Fault(f"{where} ({low}) is below {least}", kind="value")
    if high > MAX_EXTENT:
        raise Fault(f"{where} ({high}) exceeds {MAX_EXTENT}", kind="value")


def _wanted(allowed: tuple[tuple[int, ...], ...]) -> str:
    return "one integer belongs there" if len(allowed) == 1 else f"one integer or {allowed[-1][0]} belong there"


def _finite(where: str, value: NDArray[Any]) -> None:
    if value.dtype.kind not in "iufb" or value.dtype.itemsize > 8:
        raise Fault(f"{where} holds {value.dtype}, not numbers", kind="type")
    if not np.isfinite(value).all():
        raise Fault(f"{where} holds a value that is not finite", kind="value")
