"""ELF object files: the sizes of sections and symbols, and which names are missing.

Source: Tool Interface Standard, Executable and Linking Format 1.2; System V ABI for its 64-bit form.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from neuroprivacy.core.errors import BadFile

_SYMBOLS, _WRITE, _ALLOCATED, _CODE, _OBJECT = 2, 1, 2, 4, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFile:
    """What an object file holds, in bytes.

    Attributes:
        code: sections that are executed; likewise `constants` (.rodata) and `states` (what can be written).
        constant_arrays: name -> bytes of each constant; likewise `state_arrays`.
        missing: names that another object must define, sorted.
    """

    code: int
    constants: int
    states: int
    constant_arrays: dict[str, int]
    state_arrays: dict[str, int]
    missing: tuple[str, ...]


def read_object(path: Path) -> ObjectFile:
    """Read an ELF object file of 32 or 64 bits.

    Raises:
        BadFile: it is none.
    """
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or len(data) < 64 or data[4] not in (1, 2):
        raise BadFile(path, "is no ELF object file")
    order, wide = "<" if data[5] == 1 else ">", data[4] == 2
    try:
        return _read(data, order, wide)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise BadFile(path, f"is a damaged object file ({error})") from error


def _read(data: bytes, order: str, wide: bool) -> ObjectFile:
    table = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)[0]
    width, count, names_at = struct.unpack_from(f"{order}HHH", data, 58 if wide else 46)
    # Name, kind, flags, offset, size, and which section holds the names, of every section.
    form, fields = (f"{order}IIQQQQI", (0, 1, 2, 4, 5, 6)) if wide else (f"{order}IIIIIII", (0, 1, 2, 4, 5, 6))
    rows = [struct.unpack_from(form, data, table + i * width) for i in range(count)]
    sections = [tuple(row[field] for field in fields) for row in rows]
    labels = [_text(data, sections[names_at][3] + section[0]) for section in sections]
    sizes = {"code": 0, "constants": 0, "states": 0}
    role = []
    for label, (_, _, flags, _, size, _) in zip(labels, sections, strict=True):
        kind = (
            "" if not flags & _ALLOCATED
            else "code" if flags & _CODE
            else "states" if flags & _WRITE
            else "constants" if label.startswith(".rodata") else ""
        )  # fmt: skip
        role.append(kind)
        if kind:
            sizes[kind] += size
    arrays: dict[str, dict[str, int]] = {"constants": {}, "states": {}}
    missing = set()
    for _, kind, _, offset, size, strings in sections:
        if kind != _SYMBOLS:
            continue
        step = 24 if wide else 16
        for at in range(offset + step, offset + size, step):
            if wide:
                name, info, _, section, _, length = struct.unpack_from(f"{order}IBBHQQ", data, at)
            else:
                name, _, length, info, _, section = struct.unpack_from(f"{order}IIIBBH", data, at)
            label = _text(data, sections[strings][3] + name)
            if section == 0 and label:
                missing.add(label)
            elif info & 15 == _OBJECT and section < count and role[section] in arrays:
                arrays[role[section]][label] = length
    return ObjectFile(
        **sizes, constant_arrays=arrays["constants"], state_arrays=arrays["states"], missing=tuple(sorted(missing))
    )


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(0, at)].decode("ascii", "replace")
