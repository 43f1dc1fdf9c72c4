"""The page, from a canned result."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks.claims import CLAIMS, verdicts
from benchmarks.competitors import COMPETITORS
from benchmarks.deep_memory import measure_memory
from benchmarks.figures import fastest, ratio
from benchmarks.items import FULL, QUICK, items
from benchmarks.page import write_page

#: Milliseconds of a call.
TIMES = {
    "ours": 1.0, "ours_backend": 0.9, "ours_loihi2": 1.2, "ours_training": 100.0, "torch_manual": 20.0,
    "snntorch": 90.0, "spikingjelly": 170.0, "norse": 70.0, "sinabs": 65.0, "nengo": 40.0, "lava": 600.0,
    "bound16": 0.8, "bound32": 1.1, "gemm": 50.0,
}  # fmt: skip


def row(key: str) -> dict[str, Any]:
    seconds = [TIMES[key] * factor / 1e3 for factor in (0.9, 1.0, 1.1)]
    made: dict[str, Any] = {
        "title": COMPETITORS[key].title, "kind": COMPETITORS[key].kind, "seconds": seconds, "calls": 3, "run": "today",
        "peak_bytes": 1000 if key == "ours_training" else 2000, "process_bytes": 9000, "versions": {key: "1.0"},
        "tensor_bytes": 300 if key == "ours_training" else 200,
    }  # fmt: skip
    if made["kind"] in ("ours", "torch"):
        made |= {"rates": {"a": 0.1, "b": 0.11}, "rates_differ": 0.001}
    if made["kind"] == "ours":
        made["exact"] = {"equal": True, "samples": 1, "steps": 8, "spikes": 5}
    if key == "gemm":
        made["flop"] = 2 * 1536**3
    elif made["kind"] == "bound":
        made["adds"] = 1e6
    return made


@pytest.fixture
def collected() -> dict[str, Any]:
    results = {}
    for item in items(QUICK):
        results[item.key] = {
            "item": item.describe(), "rows": {key: row(key) for key in item.competitors}, "load_before": 0.1,
            "rate_samples": 8, "rounds": 3, "turn_seconds": 0.5, "run": "today", "versions": {"python": "3.11"},
            "machine": {"processor": "some processor", "cores": 2, "system": "Linux"},
        }  # fmt: skip
    return {"format": 1, "results": results}


def page(collected: dict[str, Any], folder: Path) -> str:
    write_page(collected, folder)
    return (folder / "performance.md").read_text()


def test_ratios_are_of_medians_with_the_spread_of_rounds(collected: dict[str, Any]) -> None:
    result = collected["results"]["w1_batch1"]
    result["rows"]["ours"]["seconds"] = [0.001, 0.001, 0.002]
    found = ratio(result, "torch_manual", "ours")
    assert found is not None
    assert (found.middle, found.low, found.high) == pytest.approx((20, 11, 20))
    assert fastest(result, "torch") == "sinabs"


@pytest.mark.slow
def test_rows_of_two_runs_are_not_compared(collected: dict[str, Any], tmp_path: Path) -> None:
    rows = collected["results"]["w1_batch1"]["rows"]
    rows["lava"]["run"] = "yesterday"
    assert ratio(collected["results"]["w1_batch1"], "lava", "ours") is None
    lines = page(collected, tmp_path)
    assert "| W1 batch 1: Lava, the same integers | >= 400x | not measured in one run | not run |" in lines


@pytest.mark.slow
def test_every_claim_has_a_line(collected: dict[str, Any], tmp_path: Path) -> None:
    found = list(verdicts(collected["results"]))
    assert len(found) == len(CLAIMS) + 7  # three kinds of memory of two workloads, and the integers
    lines = page(collected, tmp_path)
    assert "| W1 batch 1: fastest torch peer (sinabs) | >= 60x | 65x [65-65] | met |" in lines
    assert "| W1 batch 1: Lava, the same integers | >= 400x | 500x [500-500] | met |" in lines
    assert "| W2 batch 16: share of the int16 event bound | >= 70% | 80% [80%-80%] | met |" in lines
    assert (
        "| W1 training: what it grew by since before the first call, of SpikingJelly's | <= 100% | 50% | met |" in lines
    )
    assert "| W1 training: peak of its tensors, of SpikingJelly's | <= 100% | 150% | missed |" in lines
    assert "| W2 batch 1: Lava, the same integers | >= 1,000x | 500x [500-500] | missed |" in lines


@pytest.mark.slow
def test_what_failed_keeps_its_row(collected: dict[str, Any], tmp_path: Path) -> None:
    rows = collected["results"]["w1_batch128"]["rows"]
    rows["norse"] |= {"seconds": [], "error": "there is no Python 3.11 here"}
    lines = page(collected, tmp_path)
    assert "| Norse | not run |  |  | there is no Python 3.11 here |" in lines
    assert "- w1_batch128, Norse: there is no Python 3.11 here" in lines


@pytest.mark.slow
def test_what_differs_is_said(collected: dict[str, Any], tmp_path: Path) -> None:
    rows = collected["results"]["w1_batch1"]["rows"]
    rows["norse"]["rates_differ"] = 0.2
    rows["ours"]["exact"]["equal"] = False
    lines = page(collected, tmp_path)
    assert "differs by 0.2000 (BEYOND the tolerance)" in lines
    assert "NOT equal" in lines
    assert "| every integer as the reference has it | all |" in lines
    assert "missed |" in lines.split("every integer")[1].splitlines()[0]


@pytest.mark.slow
def test_extrapolated_rows_say_so(collected: dict[str, Any], tmp_path: Path) -> None:
    collected["results"]["w2_batch1"]["rows"]["lava"]["extrapolated"] = {"steps": 2, "factor": 16}
    assert "Lava, fixed point, extrapolated from 2 steps" in page(collected, tmp_path)


@pytest.mark.slow
def test_the_plot_is_small_and_the_same_again(collected: dict[str, Any], tmp_path: Path) -> None:
    page(collected, tmp_path)
    first = (tmp_path / "performance.svg").read_bytes()
    assert 1000 < len(first) < 200_000
    page(collected, tmp_path)
    assert (tmp_path / "performance.svg").read_bytes() == first


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    assert "Nothing has been measured yet." in page({"format": 1, "results": {}}, tmp_path)
    assert not (tmp_path / "performance.svg").exists()


def test_items_have_keys_of_their_own() -> None:
    for effort in (QUICK, FULL):
        keys = [item.key for item in items(effort)]
        assert len(set(keys)) == len(keys)
        assert {claim.item for claim in CLAIMS} <= set(keys)


@pytest.mark.slow
def test_the_command_remakes_the_page_alone(collected: dict[str, Any], tmp_path: Path) -> None:
    import json

    (tmp_path / "performance.json").write_text(json.dumps(collected))
    assert command.main(["--page-only", "--docs", str(tmp_path)]) == 0
    assert (tmp_path / "performance.md").exists()


def test_an_unknown_competitor_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--competitors", "brian"])
    assert "--competitors: brian is none of ours" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_of_a_deep_network_is_told_by_batch(collected: dict[str, Any], tmp_path: Path) -> None:
    case = {"batch": 2, "seconds": 10.0, "gradient": 4.0}
    cases = [
        {**case, "way": "kept", "bytes": 900 * 2**20},
        {**case, "way": "again", "bytes": 200 * 2**20, "seconds": 15},
    ]
    lines = page({**collected, "deep_memory": {"steps": 150, "threads": 2, "cases": cases}}, tmp_path)
    assert "| 2 | 900 | 200 | 1.50x | 0.0e+00 |" in lines
    assert "VGG16" not in page(collected, tmp_path)


@pytest.mark.slow
def test_memory_of_a_deep_network_is_measured() -> None:
    found = measure_memory(steps=2, batches=(1,))
    kept, again = found["cases"]
    assert kept["bytes"] > 2**20
    assert again["gradient"] == pytest.approx(kept["gradient"], rel=1e-5)


@pytest.mark.slow
def test_a_short_run_is_taken_apart(collected: dict[str, Any], tmp_path: Path) -> None:
    names = ("run", "backend", "engine", "computed", "silent", "filled")
    collected["results"]["w1_batch1"]["rows"]["ours"]["parts"] = dict(
        zip(names, (1e-4, 9e-5, 8e-5, 6e-5, 4e-5, 5e-6), strict=True)
    )
    lines = page(collected, tmp_path)
    assert "| kernels: events listed and added | 20.0 |" in lines
    assert "| input copied into the buffers | 5.0 |" in lines
    assert "the ratios asked for allow" in lines
