"""Who is timed, and how each is started."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from hw_tests.interop import environments
from neuroprivacy.core.errors import NeuroPrivacyError

HERE = Path(__file__).parent
_OWN: dict[str, dict[str, Any]] = tomllib.loads((HERE / "environments.toml").read_text())
Kind = Literal["ours", "torch", "peer", "bound"]


class Unavailable(Exception):
    """A competitor cannot be had here, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Competitor:
    """One row of a table.

    Attributes:
        key: name in results and options.
        title: for people.
        script: name of `peers/<script>_peer.py`.
        environment: "ours", "lava", or the name of a peer's environment.
        kind: "ours"; "torch" for a peer on torch that ratios are taken of; "peer"; "bound".
        program: target of the Program that it is given, if any.
        options: handed to the script.
        short_steps: workload -> so many steps are measured and extrapolated to all.
    """

    key: str
    title: str
    script: str
    environment: str
    kind: Kind
    program: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    short_steps: Mapping[str, int] = field(default_factory=dict)

    def command(self, threads: int) -> tuple[list[str], dict[str, str]]:
        """How it is started: a command and its environment variables.

        Raises:
            Unavailable: its environment cannot be made.
        """
        script = str(HERE / "peers" / f"{self.script}_peer.py")
        try:
            command, variables = _launcher(self.environment)
        except (environments.EnvironmentMissing, NeuroPrivacyError, OSError) as error:
            raise Unavailable(str(error)) from error
        number = str(threads)
        counted = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "NEUROPRIVACY_THREADS"), number)
        return [*command, script], {**variables, **counted, "OMP_WAIT_POLICY": "PASSIVE"}


@cache
def _launcher(environment: str) -> tuple[list[str], dict[str, str]]:
    """A Python as a command, and what it inherits."""
    if environment == "ours":
        return [sys.executable], environments.clean_environment()
    if environment == "lava":
        from neuroprivacy_lava.worker_process import default_command

        command, variables = default_command()
        return command[: command.index("python") + 1], variables
    wanted = _OWN.get(environment) or environments.PEERS[environment]
    return [str(environments.make(environment, wanted))], environments.clean_environment()


COMPETITORS = {
    competitor.key: competitor
    for competitor in (
        Competitor(
            key="ours", title="neuroprivacy, `run` (int8)", script="neuroprivacy", environment="ours", kind="ours",
            program="int8", options={"entry": "run"},
        ),
        Competitor(
            key="ours_backend", title="neuroprivacy, `Backend.run` on checked input (int8)", script="neuroprivacy",
            environment="ours", kind="ours", program="int8", options={"entry": "backend"},
        ),
        Competitor(
            key="ours_loihi2", title="neuroprivacy, `run` (loihi2, Lava's integers)", script="neuroprivacy",
            environment="ours", kind="ours", program="loihi2", options={"entry": "run"},
        ),
        Competitor(
            key="ours_training", title="neuroprivacy, SpikingNetwork", script="neuroprivacy", environment="ours",
            kind="ours",
        ),
        Competitor(
            key="torch_manual", title="plain torch, layer by layer", script="torch_manual", environment="ours",
            kind="peer",
        ),
        Competitor(
            key="snntorch", title="snnTorch", script="snntorch", environment="snntorch", kind="torch",
        ),
        Competitor(
            key="spikingjelly", title="SpikingJelly, multi-step, torch backend", script="spikingjelly",
            environment="spikingjelly", kind="torch",
        ),
        Competitor(key="norse", title="Norse", script="norse", environment="norse", kind="torch"),
        Competitor(key="sinabs", title="sinabs", script="sinabs", environment="sinabs", kind="torch"),
        Competitor(key="nengo", title="Nengo core", script="nengo", environment="nengo", kind="peer"),
        Competitor(
            key="lava", title="Lava, fixed point", script="lava", environment="lava", kind="peer", program="loihi2",
            short_steps={"W2": 2},
        ),
        Competitor(
            key="bound16", title="bound: event row adds, int8 to int16", script="bound", environment="ours",
            kind="bound", options={"bits": 16},
        ),
        Competitor(
            key="bound32", title="bound: event row adds, int8 to int32", script="bound", environment="ours",
            kind="bound", options={"bits": 32},
        ),
        Competitor(
            key="gemm", title="bound: fp32 matrix product, 1536 x 1536", script="gemm", environment="ours",
            kind="bound",
        ),
    )
}  # fmt: skip
