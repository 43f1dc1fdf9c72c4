"""Files of ours in each peer, and each peer's files here; spikes are compared one by one.

A peer that computes something else than NIR says, or refuses, is no failure: docs/results/interop.md reports it. A
failure is a change: a file that was equal and is not (or the other way round), or a difference that the peer's own
script in peers/ does not explain. Results go to results/interop/<peer>-<version>.json; `report.py` makes the table.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neuroprivacy import load_nir
from neuroprivacy.core.errors import NeuroPrivacyError
from neuroprivacy.core.storage import write_json
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.runtime.reference import run_reference

from . import environments, oracle, ours

TIMEOUT_S = 300
#: Files that a peer takes and then computes something that no reading of its neurons explains, and what it is.
UNEXPLAINED = {
    ("norse", "conv_avg"): "the pool is left out, and what comes out is not the last layer",
    ("norse", "recurrent_cuba"): "what comes out are not spikes, but the values of another node",
    ("sinabs", "recurrent"): "what comes out are not spikes, but the values of another node",
    ("sinabs", "recurrent_cuba"): "the CubaLIF layer is left out",
    ("rockpool", "recurrent_cuba"): "what comes out are not spikes, but the values of another node",
}
#: The same for what a peer writes.
LOST = {("rockpool", "recurrent"): "the recurrent weights are not in the file"}


class Exchange:
    """What one peer did with everything."""

    def __init__(self, peer: str, folder: Path) -> None:
        python = environments.prepare(peer)
        script = environments.HERE / "peers" / f"{peer}_peer.py"
        self.peer, self.folder = peer, folder
        self.cases = ours.write_cases(folder / "ours")
        triples = [
            [
                folder / "ours" / f"{name}{form}.nir",
                folder / "ours" / f"{name}.npz",
                folder / "read" / f"{name}{form}.npz",
            ]
            for name in self.cases
            for form in ("", ".old")
        ]
        (folder / "read").mkdir()
        for command in (["write", folder / "theirs"], ["read", *(path for triple in triples for path in triple)]):
            done = subprocess.run(
                [str(python), str(script), *map(str, command)], env=environments.clean_environment(),
                capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-2000:]
        self.about = self._json("theirs/peer.json")
        self.results: dict[str, Any] = {"theirs": {}, "ours": {}}

    def _json(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / name).read_text()))

    def theirs(self) -> dict[str, dict[str, Any]]:
        """Network -> how it went."""
        for path in sorted((self.folder / "theirs").glob("*.json")):
            if path.stem != "peer":
                self.results["theirs"][path.stem] = self._compare_theirs(path.stem)
        return dict(self.results["theirs"])

    def _compare_theirs(self, name: str) -> dict[str, Any]:
        known = self._json(f"theirs/{name}.json")
        result: dict[str, Any] = {"what": known.get("what", name), "not_written": known["error"]}
        if known["error"]:
            return result
        path = self.folder / "theirs" / f"{name}.nir"
        arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
        try:
            graph = load_nir(path)
            result["not_read"] = None
        except NeuroPrivacyError as error:
            graph, result["not_read"] = nir.read(path, type_check=False), _without_path(str(error))
        base = oracle.Reading(dt_s=self.about["dt_s"])
        expected = arrays["spikes"].reshape(len(arrays["inputs"]), -1)
        as_nir, as_peer = oracle.readings(base, {}), oracle.readings(base, known["reading"])
        with np.errstate(all="ignore"):
            for key, how in (("as_nir", as_nir), ("explained", as_peer)):
                result[key] = _differing(oracle.run(graph, arrays["inputs"], how), expected)
            if result["as_nir"] and not result["explained"]:
                result["why"] = oracle.reasons(graph, arrays["inputs"], as_nir, as_peer)
        result["lost"] = LOST.get((self.peer, name))
        if not result["not_read"]:
            result["integers"] = self._integers(graph, arrays["inputs"], expected)
        return {**result, "of": expected.size, "active": float(np.mean(expected != 0))}

    def _integers(self, graph: nir.NIRGraph, inputs: Any, expected: Any) -> int | str:
        """The file lowered to Loihi 2, 8-bit weights: how many spikes differ, rounding included; or the refusal."""
        try:
            program = lower(graph, target="loihi2", options=LowerOptions(dt_s=self.about["dt_s"])).program
        except NeuroPrivacyError as error:
            return _without_path(str(error))
        given = {program.inputs[0].name: inputs.reshape(1, len(inputs), -1)}
        computed = run_reference(program, given).spikes[program.outputs[0]]
        return _differing(computed.reshape(expected.shape), expected)

    def ours(self, name: str) -> dict[str, Any]:
        """How a case went: as we write it, and without v_reset if that was refused."""
        case = self.cases[name]
        given = self._json(f"read/{name}.json")
        result = {"what": case.what, "reset": case.reset, "refused": given["error"], "form": "as written"}
        form = ""
        if given["error"]:
            form, old = ".old", self._json(f"read/{name}.old.json")
            if "v_reset" in given["error"]:
                result |= {"refused_without_v_reset": old["error"], "form": "without v_reset"}
            if "v_reset" not in given["error"] or old["error"]:
                self.results["ours"][name] = result
                return result
        arrays = np.load(self.folder / "ours" / f"{name}.npz", allow_pickle=False)
        spikes = np.load(self.folder / "read" / f"{name}{form}.npz", allow_pickle=False)["spikes"]
        graph = load_nir(self.folder / "ours" / f"{name}.nir")
        base = oracle.Reading(dt_s=case.dt_s)
        as_meant = oracle.readings(base, {"*": {"reset": case.reset}})
        as_peer = oracle.readings(base, self.about["reading"])
        meant = oracle.run(graph, arrays["inputs"], as_meant)
        peers = oracle.run(graph, arrays["inputs"], as_peer)
        result |= {
            "differ": _differing(meant, spikes), "explained": _differing(peers, spikes), "of": meant.size,
            "meant": float(np.mean(meant != 0)), "active": float(np.mean(spikes != 0)),
            "unexplained": UNEXPLAINED.get((self.peer, name)),
        }  # fmt: skip
        if result["differ"] and not result["explained"]:
            result["why"] = oracle.reasons(graph, arrays["inputs"], as_meant, as_peer)
        self.results["ours"][name] = result
        return result

    def save(self, folder: Path) -> None:
        """For `report.py`; a run of some tests only leaves the results as they were."""
        if not self.results["theirs"] or self.results["ours"].keys() != self.cases.keys():
            return
        version = self.about["versions"][self.peer]
        whole = {**self.about, **self.results}
        write_json(folder / "interop" / f"{self.peer}-{version}.json", whole)


def _differing(computed: Any, expected: Any) -> int:
    """How many values differ; a membrane readout is no integer, so there is a tolerance far below one spike."""
    if computed.shape != expected.shape:
        return int(computed.size)
    return int((~np.isclose(computed, expected, rtol=1e-4, atol=1e-4)).sum())


def _without_path(message: str) -> str:
    return re.sub(r"\S+\.nir: ", "", message)


@pytest.fixture(scope="module")
def exchanges(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Peer -> its Exchange, or why there is none; made when first asked for."""
    made: dict[str, Any] = {}
    yield made
    for exchange in made.values():
        if isinstance(exchange, Exchange):
            exchange.save(pytestconfig.getoption("--results", None) or pytestconfig.rootpath / "results")


@pytest.fixture
def exchange(
    peer: str, exchanges: dict[str, Any], pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Exchange:
    chosen = pytestconfig.getoption("--peer", None) or []
    if peer not in chosen and "all" not in chosen:
        pytest.skip(f"not run: choose it with --peer {peer}")
    if peer not in exchanges:
        try:
            exchanges[peer] = Exchange(peer, tmp_path_factory.mktemp(peer))
        except environments.EnvironmentMissing as error:
            exchanges[peer] = f"not run: {error}"
    if isinstance(exchanges[peer], str):
        pytest.skip(exchanges[peer])
    made: Exchange = exchanges[peer]
    return made


@pytest.mark.parametrize("peer", environments.PEERS)
def test_theirs(exchange: Exchange) -> None:
    results = exchange.theirs()
    equal = {name for name, result in results.items() if result.get("as_nir") == 0}
    assert equal == set(environments.PEERS[exchange.peer]["writes"])
    for name, result in results.items():
        if not result["not_written"] and not result["not_read"] and not result["lost"]:
            assert result["explained"] == 0, name


@pytest.mark.parametrize("name", ours.CASES)
@pytest.mark.parametrize("peer", environments.PEERS)
def test_ours(exchange: Exchange, name: str) -> None:
    result = exchange.ours(name)
    assert (result.get("differ") == 0) == (name in environments.PEERS[exchange.peer]["reads"]), result
    if "differ" in result:
        assert (result["explained"] != 0) == bool(result["unexplained"]), result
