"""ELF object files: sizes of sections and symbols, and undefined symbols; read with pyelftools."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from neuroprivacy.core.errors import BackendUnavailable, BadFile

try:
    from elftools.common.exceptions import ELFError
    from elftools.construct.core import ConstructError
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import Section, SymbolTableSection
except ImportError as error:
    raise BackendUnavailable("c99 memory: pyelftools is not installed; pip install 'neuroprivacy[memory]'") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFile:
    """Sizes of an object file, in bytes.

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
        BadFile: it is none, or a damaged one.
    """
    try:
        return _read(ELFFile(io.BytesIO(path.read_bytes())))
    except (ELFError, ConstructError, AttributeError, KeyError, IndexError, ValueError, OverflowError) as error:
        raise BadFile(path, f"is no readable ELF object file ({type(error).__name__}: {error})") from error


def _read(elf: ELFFile) -> ObjectFile:
    sections = list(elf.iter_sections())
    roles = [_role(section) for section in sections]
    sizes = dict.fromkeys(("code", "constants", "states"), 0)
    for section, role in zip(sections, roles, strict=True):
        if role:
            sizes[role] += section["sh_size"]
    arrays: dict[str, dict[str, int]] = {"constants": {}, "states": {}}
    missing = set()
    for table in sections:
        for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
            place = symbol["st_shndx"]
            if place == "SHN_UNDEF" and symbol.name:
                missing.add(symbol.name)
            elif symbol["st_info"]["type"] == "STT_OBJECT" and isinstance(place, int) and roles[place] in arrays:
                arrays[roles[place]][symbol.name] = symbol["st_size"]
    return ObjectFile(
        **sizes, constant_arrays=arrays["constants"], state_arrays=arrays["states"], missing=tuple(sorted(missing))
    )


def _role(section: Section) -> str:
    """The kind of a section: code, constants or states; empty for all others."""
    flags = section["sh_flags"]
    if not flags & SH_FLAGS.SHF_ALLOC:
        return ""
    if flags & SH_FLAGS.SHF_EXECINSTR:
        return "code"
    if flags & SH_FLAGS.SHF_WRITE:
        return "states"
    return "constants" if section.name.startswith(".rodata") else ""
