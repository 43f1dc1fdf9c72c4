"""A sample of the fuzzer's files, and that its judge would notice a reader that accepts too much."""

import json
import time
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neuroprivacy.core.errors import BadFile, WorkerFailed
from neuroprivacy.graph import load_nir
from tools.fuzz import campaign, damage
from tools.fuzz.__main__ import main
from tools.fuzz.corpus import chain, good_files, graphs, neuron
from tools.fuzz.edits import EDITS, Dice, edited
from tools.fuzz.judge import faults, same_graph


@pytest.mark.slow
def test_three_hundred_damaged_files() -> None:
    tally = campaign.run_here(0, 300, 2)
    assert tally.failures == []
    assert tally.files == 300 == tally.same + tally.changed + tally.refused.total()
    assert tally.same > 20
    assert tally.changed > 2
    assert len(tally.refused) >= 6
    assert tally.slowest_s < 15


@pytest.mark.slow
def test_the_command_counts_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "20", "--seed", "3", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["files"] == 20
    assert first["failures"] == []
    assert main(["--count", "20", "--seed", "3"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("20 files in ")
    assert f"{first['same']} read as before" in text


@pytest.mark.parametrize("bad", [["--count", "0"], ["--seed", "-1"]])
def test_the_command_refuses_numbers_that_mean_nothing(bad: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(bad)


@pytest.mark.slow
def test_damage_is_reproducible_and_is_damage() -> None:
    files = good_files()
    for index in range(60):
        name, what, content, forbidden = campaign.damaged(index, 5, files, "outside")
        again = campaign.damaged(index, 5, files, "outside")
        assert (name, what, forbidden) == (again[0], again[1], again[3])
        if what.startswith("flip"):
            changed = np.frombuffer(content, np.uint8) != np.frombuffer(files[name], np.uint8)
            assert changed.sum() == int(what.split()[1])
            assert content == again[2]


def test_swaps_and_cuts_keep_within_the_file() -> None:
    content = bytes(range(256)) * 4
    for seed in range(50):
        rng = np.random.default_rng(seed)
        swapped = damage.swap(content, rng)
        assert len(swapped) == len(content)
        assert sorted(swapped) == sorted(content)
        assert content.startswith(damage.cut(content, rng))


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_every_edit_changes_every_file(edit: Any, tmp_path: Path) -> None:
    """Some draw in a few may hit upon what is there already."""
    for content in good_files().values():
        drawn = [edited(content, edit, Dice(np.random.default_rng(seed), str(tmp_path / "x"))) for seed in range(4)]
        assert any(found != content for found in drawn)


def chained(**nodes: nir.NIRNode) -> nir.NIRGraph:
    return chain([2], nodes, [2])


def spoilt(kind: str, **values: Any) -> nir.NIRGraph:
    node = neuron(kind, np.random.default_rng(0), 2)
    for name, value in values.items():
        setattr(node, name, np.array(value))
    return chained(n=node)


@pytest.mark.parametrize(
    ("graph", "fault"),
    [
        (spoilt("LIF", tau=[0.0, 1]), "tau is not positive"),
        (spoilt("CubaLIF", tau_syn=[-1.0, 1]), "tau_syn is not positive"),
        (spoilt("LIF", v_threshold=[np.nan, 1]), "not finite"),
        (spoilt("LIF", v_leak=[np.inf, 1]), "not finite"),
        (spoilt("LIF", v_leak=[1.0]), "cannot be computed"),
        (spoilt("LIF", r=["a", "b"]), "holds <U1"),
        (chained(n=nir.Delay(delay=np.array([-1.0, 0]))), "negative"),
        (chained(n=nir.Linear(weight=np.ones((2, 3)))), "cannot be computed"),
        (chained(n=nir.Affine(weight=np.ones((2, 2)), bias=np.ones(99))), "cannot be computed"),
        (chain([2], {"n": nir.Scale(np.ones(2))}, [3]), "cannot be computed"),
        (chain([2], {"n": nir.Scale(np.ones(2))}, [2], {"x": np.nan}), ""),
        (chain([2], {"n": nir.Scale(np.ones(2))}, [2], {"x": np.array(np.nan)}), "not finite"),
    ],
)
def test_the_judge_notices(graph: nir.NIRGraph, fault: str) -> None:
    found = list(faults(graph))
    assert not fault or any(fault in text for text in found), found


def test_the_judge_finds_nothing_in_good_graphs() -> None:
    for name, graph in graphs().items():
        assert list(faults(graph)) == [], name
        assert same_graph(graph, graph)
    assert not same_graph(graphs()["dense"], graphs()["image"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        (ValueError("odd"), "ValueError: odd"), (WorkerFailed("gone"), "WorkerFailed: gone"),
        (BadFile("a", "odd"), "for a reason that no check foresaw"),
        (spoilt("LIF", tau=[0.0, 1]), "tau is not positive"),
    ],
)  # fmt: skip
def test_the_campaign_counts_failures(outcome: Any, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path) -> nir.NIRGraph:
        if path.stem != "damaged":
            return load_nir(path)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(campaign, "load_nir", load)
    assert any(failure in text for text in campaign.run_here(0, 2, 0).failures)


@pytest.mark.slow
def test_the_campaign_counts_what_leads_out_of_the_file_and_what_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain([2], {"n": nir.Scale(np.ones(2))}, [2], {"x": campaign.CANARY.decode()})

    def load(path: Path) -> nir.NIRGraph:
        time.sleep(0.02)
        return graph

    monkeypatch.setattr(campaign, "load_nir", load)
    monkeypatch.setattr(campaign, "LONGEST_S", 0.01)
    failures = "\n".join(campaign.run_here(0, 30, 0).failures)
    for text in ("leads out of the file", "holds text of another file", "took 0.0"):
        assert text in failures
