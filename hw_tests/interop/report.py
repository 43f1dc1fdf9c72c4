"""docs/results/interop.md from results/interop/*.json: `python hw_tests/interop/report.py [--results D] [--out F]`.

A peer without results is "not run". Numbers are never typed in: run `pytest hw_tests/interop --peer all` first.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS: dict[str, dict[str, Any]] = tomllib.loads((HERE / "environments.toml").read_text())
#: The files of the first table.
HEADLINES = {
    "if_hard": "IF, hard reset", "if_soft": "IF, soft reset", "lif_hard": "LIF, hard reset",
    "lif_soft": "LIF, soft reset", "lif_unit_r": "LIF with R = 1", "membrane": "membrane readout", "cuba": "CubaLIF",
    "conv": "Conv2d", "conv_avg": "average pool", "conv_sum": "sum pool", "conv_sum_if": "sum pool, IF",
    "recurrent_cuba": "loop (CubaLIF)", "nested": "loop as a nested graph", "lif_tie": "v = θ occurs (LIF)",
}  # fmt: skip
HEAD = """# NIR files between this library and others

Made by `hw_tests/interop/report.py` from the results of `pytest hw_tests/interop --peer all`: every number below was
measured with the versions named beside it, each peer in an environment of its own. Seeded input spikes run through a
network in the peer and, from the same file, here (float64, step by step, `hw_tests/interop/oracle.py`); the outputs of
40 steps are compared one by one. NIR is written in continuous time: it says neither the time step nor the order of
things within one, and this is where peers differ.

## In short

- **Soft reset does not travel.** NIR 1.0.6 and newer has the hard reset only; our soft-reset files say so in the
  metadata `neuroprivacy.reset`, and no peer looks at it. snnTorch, Norse and SpikingJelly compute a hard reset instead,
  without a word. Train with `--reset zero` what another framework is to run.
- **A hard reset does not travel to sinabs and Rockpool** either: they subtract the threshold, may fire several times in
  a step, and rest on nir 1.0.4. Up to nir 1.0.5 NIR *defined* the reset of IF, LIF and CubaLIF as v - θ and had no
  `v_reset`; nir 1.0.6 and newer reads such old files as hard reset to 0. The file's `version` hints at which is meant.
- **`v_reset` keeps sinabs and Rockpool from reading a file at all** (`unexpected keyword argument 'v_reset'`). Where it
  is zero it can be left out of the file: newer versions of nir take it for zero. Or nir 1.0.8 and nirtorch 2.6 can be
  forced on them (`pip install --no-deps`): tried once by hand, both then read it and compute the same as below. Their
  files then bear the newer version and a `v_reset` of 0, and still mean a soft reset.
- LIF with R = 1 (the factor dt/τ goes into the weights) is computed with equal spikes by {equal}.
  LIF as `to_nir` writes it, R = τ/dt, is right in snnTorch and SpikingJelly; Norse ignores R and stays silent.
- Pass the time step where it can be passed: Norse `from_nir(graph, dt=1e-4)`, SpikingJelly
  `import_from_nir(graph, dt=1e-4)`. snnTorch has 1e-4 s built in, sinabs counts in steps (`to_nir(net, dt_s=1.0)`),
  Rockpool derives it from R.
- The metadata of our files, with dots in its keys, troubles nobody.

## Our files in the peers

`equal`: every value is. `n of m`: so many differ from what the file means here, soft reset included where its metadata
says so; "silent" where the peer gives no spike at all. *Italic*: only after `v_reset` was left out.

"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "interop.md")
    chosen = parser.parse_args()
    found = {path.name: json.loads(path.read_text()) for path in sorted((chosen.results / "interop").glob("*.json"))}
    chosen.out.write_text(render({result["peer"]: result for result in found.values()}))


def render(found: dict[str, Any]) -> str:
    """The page; `found`: peer -> its results."""
    equal = [
        wanted["title"]
        for peer, wanted in PEERS.items()
        if found.get(peer, {"ours": {}})["ours"].get("lif_unit_r", {}).get("differ") == 0
    ]
    lines = [*HEAD.format(equal=", ".join(equal) or "no peer").rstrip().split("\n"), "", *_headline_table(found)]
    lines += ["", "## The peers' files here", "", *_written_table(found), "", "## Peer by peer", ""]
    for peer, wanted in PEERS.items():
        result = found.get(peer)
        lines += _section(wanted, result) if result else [f"### {wanted['title']}", "", _not_run(wanted), ""]
    return "\n".join(lines).rstrip() + "\n"


def _not_run(wanted: dict[str, Any]) -> str:
    return f"Not run: {wanted.get('missing', 'no results')}."


def _headline_table(found: dict[str, Any]) -> list[str]:
    names = [_title(peer, found) for peer in PEERS]
    rows = [
        [text, *(_cell(found[peer]["ours"].get(case)) if peer in found else "not run" for peer in PEERS)]
        for case, text in HEADLINES.items()
    ]
    return _table(["file of ours", *names], rows)


def _title(peer: str, found: dict[str, Any]) -> str:
    return f"{PEERS[peer]['title']} {found[peer]['versions'][peer]}" if peer in found else PEERS[peer]["title"]


def _cell(case: dict[str, Any] | None) -> str:
    """How one file went, in few words."""
    if case is None:
        return "not run"
    if "differ" not in case:
        return "refused"
    if case["unexplained"]:
        return "wrong output"
    text = "equal" if case["differ"] == 0 else f"{case['differ']} of {case['of']}"
    text = f"{text}, silent" if case["differ"] and case["active"] == 0 else text
    return f"*{text}*" if case["form"] == "without v_reset" else text


def _written_table(found: dict[str, Any]) -> list[str]:
    """What each peer can write that is read here, and whether it means what the peer computed."""
    rows = []
    for peer in PEERS:
        if peer not in found:
            rows.append([_title(peer, found), "not run", "", "", ""])
            continue
        theirs = found[peer]["theirs"]
        groups: dict[str, list[str]] = {"equal": [], "differ": [], "unread": [], "unwritten": []}
        for name, network in theirs.items():
            kind = (
                "unwritten" if network["not_written"]
                else "unread" if network["not_read"]
                else "equal" if network["as_nir"] == 0
                else "differ"
            )  # fmt: skip
            groups[kind].append(f"{name} ({network['as_nir']} of {network['of']})" if kind == "differ" else name)
        rows.append([_title(peer, found), *(", ".join(names) or "-" for names in groups.values())])
    heads = ["peer", "read here, equal", "read here, differ", "refused here", "not written by the peer"]
    return _table(heads, rows)


def _section(wanted: dict[str, Any], result: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [f"### {wanted['title']}", "", f"{versions}, Python {result['python']}.", ""]
    lines += wanted["facts"].strip().split("\n")
    rows = []
    for name, network in result["theirs"].items():
        if network["not_written"]:
            rows.append([f"`{name}`", network["what"], f"not written: {_code(network['not_written'])}", "", "", ""])
            continue
        refused, integers = network["not_read"], network.get("integers", "")
        why = network["lost"] or "; ".join(network.get("why", []))
        rows.append([
            f"`{name}`", network["what"], _code(refused) if refused else "yes",
            f"{network['as_nir']} of {network['of']}", why,
            _code(integers) if isinstance(integers, str) and integers else f"{integers}",
        ])  # fmt: skip
    lines += [
        "",
        "What it writes: how many of its own spikes differ when the file is computed as NIR says, with the peer's",
    ]
    lines += [
        "own time step, and what the peer does instead; the file as integers for Loihi 2, 8-bit weights, rounding"
    ]
    lines += ["included.", ""]
    lines += _table(["network", "what", "read here", "differ", "because the peer", "differ as integers"], rows)
    rows = []
    for name, case in result["ours"].items():
        if "differ" in case:
            said = case["unexplained"] or "; ".join(case.get("why", []))
        else:
            said = _code(case.get("refused_without_v_reset") or case["refused"])
        rows.append([f"`{name}`", case["what"], _cell(case), said])
    lines += ["", "What it does with our files.", "", *_table(["file", "what", "result", "because"], rows), ""]
    return lines


def _code(text: str) -> str:
    return "`" + text.replace("|", "/").replace("`", "'")[:160] + "`"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    main()
