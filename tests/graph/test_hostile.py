"""Files made by hand, each with one fault: one clear sentence, exit code 3, in time, and nothing of any other file."""

import os
import re
import time
from pathlib import Path

import pytest

from neuroprivacy.core.errors import BadFile
from neuroprivacy.graph import limits, load_nir
from tools.fuzz.malformed import SECRET, Malformed, malformed

FILES = malformed()


@pytest.mark.slow
@pytest.mark.parametrize("bad", FILES, ids=lambda bad: bad.name)
def test_a_malformed_file_is_refused_by_name(bad: Malformed, tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    bad.make(path)
    start = time.monotonic()
    with pytest.raises(BadFile) as caught:
        load_nir(path)
    assert time.monotonic() - start < 15
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert re.search(bad.sentence, text.removeprefix(f"{path}: ")), text
    assert "\n" not in text
    assert len(text) < 600
    assert SECRET.decode() not in text
    assert caught.value.exit_code == 3


def test_there_are_enough_and_they_differ() -> None:
    assert len(FILES) >= 40
    assert len({bad.name for bad in FILES}) == len(FILES)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal of the system is put in its place."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BadFile, match=r"a\.nir: cannot be read \(Permission denied\)"):
        load_nir(tmp_path / "a.nir")


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(BadFile, match="cannot be read"):
        load_nir(Path("a\0b.nir"))


def test_small_files_may_declare_what_constant_parameters_need_and_large_ones_no_more_than_a_gibibyte() -> None:
    assert limits.declared_limit(0) == 256 * 2**20
    assert limits.declared_limit(2**20) == 320 * 2**20
    assert limits.declared_limit(limits.MAX_FILE_BYTES) == 2**30
    assert limits.memory_limit(limits.MAX_FILE_BYTES, 2**30) < 5 * 2**30
    assert limits.READ_S < limits.KILL_S < limits.GIVE_UP_S < 15
