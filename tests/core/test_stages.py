"""A stage is finished only when every file of it is written, and only for the key that it was made with."""

from pathlib import Path

import pytest

from neuroprivacy.core.errors import BadFile
from neuroprivacy.core.stages import Stage, stage_key
from neuroprivacy.core.storage import read_json, write_json, write_text


def make(folder: Path) -> str:
    write_text(folder / "result", "made")
    return "made"


def load(folder: Path) -> str:
    return f"loaded {(folder / 'result').read_text()}"


def test_a_stage_is_made_once(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path / "a", key=stage_key(("x", 1)))
    assert not stage.is_begun
    assert stage.load_or_make(load=load, make=make) == "made"
    assert stage.is_finished
    assert read_json(tmp_path / "a" / "stage.json").keys() == {"key", "finished", "versions"}
    assert stage.load_or_make(load=load, make=make) == "loaded made"
    assert stage.load_or_make(load=load, make=make, resume=False) == "made"


def test_another_key_is_made_again(tmp_path: Path) -> None:
    first, second = (Stage(folder=tmp_path, key=stage_key(number)) for number in (1, 2))
    first.load_or_make(load=load, make=make)
    assert not second.is_finished
    assert second.load_or_make(load=load, make=make) == "made"
    assert not first.is_begun
    with pytest.raises(BadFile, match=r"stage\.json: belongs to another run; use the same options, or another --out"):
        first.refuse_other_key()
    second.refuse_other_key()


def test_an_interrupted_stage_is_not_finished(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> str:
        write_text(folder / "state", "half")
        raise KeyboardInterrupt

    def discard(folder: Path) -> None:
        (folder / "state").unlink(missing_ok=True)

    first, second = (Stage(folder=tmp_path, key=stage_key(number)) for number in (1, 2))
    first.load_or_make(load=load, make=make)
    with pytest.raises(KeyboardInterrupt):
        first.load_or_make(load=load, make=interrupted, resume=False, discard=discard)
    assert first.is_begun
    assert not first.is_finished
    states = []

    def resumed(folder: Path) -> str:
        states.append((folder / "state").exists())
        return make(folder)

    first.load_or_make(load=load, make=resumed, discard=discard)
    assert states == [True]
    assert not (tmp_path / "state").exists()
    write_text(tmp_path / "state", "of another run")
    second.load_or_make(load=load, make=resumed, discard=discard)
    assert states == [True, False]


def test_a_stage_of_version_0_1_is_taken_up(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path, key=stage_key([1, "a"]))
    make(tmp_path)
    write_json(tmp_path / "made.json", {"key": stage.key})
    assert stage.load_or_make(load=load, make=make) == "loaded made"
    other = Stage(folder=tmp_path, key="other")
    other.begin()
    assert not stage.is_finished, "stage.json counts, once it is there"


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "stage.json", "{")
    with pytest.raises(BadFile, match="is not valid JSON"):
        _ = Stage(folder=tmp_path, key="k").is_finished
