"""The protocol, with our own simulators and with scripts that fail: no peers are needed."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import measure as measuring
from benchmarks.competitors import COMPETITORS, Competitor, Unavailable
from benchmarks.items import Effort, Item
from benchmarks.prepared import Prepared
from benchmarks.worker import Worker
from benchmarks.workloads import mlp
from neuroprivacy.core.errors import WorkerFailed

SMALL = mlp("small", (60, 48, 20), rate=0.1, steps=8)
EFFORT = Effort(rounds=2, seconds=0, calls=3, rate_samples={"W1": 16, "small": 16}, exact={"small": (2, 8)})
ITEM = Item(key="small", group="W1", workload=SMALL, batch=4, threads=1, competitors=())


def script(folder: Path, text: str) -> Worker:
    path = folder / "script.py"
    path.write_text(text)
    return Worker("some", [sys.executable, str(path)], {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys; sys.exit('no such thing')", "some: ended: no such thing"),
        ("print('hello', flush=True); input(); input()", "some: the answer is no JSON"),
        ("print('[]', flush=True); input(); input()", "some: the answer lacks fields"),
        ('print(\'{"ok": false, "error": "too large"}\', flush=True); input(); input()', "some: too large"),
        ("input(); input()", "some: no answer within 0.5 s"),
    ],
)
def test_what_a_script_does_wrong_is_told(tmp_path: Path, text: str, message: str) -> None:
    worker = script(tmp_path, text)
    try:
        with pytest.raises(WorkerFailed, match=message):
            worker.ask({"do": "run"}, timeout_s=0.5 if "within" in message else 30)
    finally:
        worker.close()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(SMALL, tmp_path_factory.mktemp("workloads"), EFFORT)


@pytest.mark.slow
def test_our_simulators_take_turns(prepared: Prepared) -> None:
    told: list[str] = []
    chosen = ("ours", "ours_loihi2", "torch_manual", "bound16")
    result = measuring.measure(ITEM, chosen, prepared, EFFORT, told.append)
    rows = result["rows"]
    assert [row.get("error") for row in rows.values()] == [None] * 4
    assert all(len(row["seconds"]) == 2 and row["calls"] == 2 for row in rows.values())
    assert rows["ours"]["exact"]["equal"]
    assert rows["ours"]["exact"]["spikes"] > 0
    assert rows["torch_manual"]["rates_differ"] < 1e-6
    assert rows["ours"]["rates_differ"] < 0.02
    assert rows["bound16"]["adds"] > 0
    assert told == ["small: round 1 of 2", "small: round 2 of 2"]
    json.dumps(result)


@pytest.mark.slow
def test_training_takes_its_turn(prepared: Prepared) -> None:
    item = replace(ITEM, training=True)
    row = measuring.measure(item, ("ours_training",), prepared, EFFORT, lambda _: None)["rows"]["ours_training"]
    assert len(row["seconds"]) == 2
    assert row["rates_differ"] < 1e-6
    assert "exact" not in row


def test_what_cannot_be_had_is_a_row_with_a_reason(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Competitor, threads: int) -> None:
        raise Unavailable("pip failed: /some/folder/pip said no")

    monkeypatch.setattr(Competitor, "command", refuse)
    row = measuring.measure(ITEM, ("norse",), prepared, EFFORT, lambda _: None)["rows"]["norse"]
    assert row["error"] == "pip failed: pip said no"
    assert row["seconds"] == []


def test_a_prepared_workload_is_kept(prepared: Prepared) -> None:
    before = (prepared.folder / "weights.npz").stat().st_mtime_ns
    again = Prepared(SMALL, prepared.folder.parent, EFFORT)
    assert (prepared.folder / "weights.npz").stat().st_mtime_ns == before
    assert again.weights.rates == prepared.weights.rates


def test_every_competitor_has_its_script() -> None:
    folder = Path(measuring.__file__).parent / "peers"
    assert all((folder / f"{each.script}_peer.py").exists() for each in COMPETITORS.values())
