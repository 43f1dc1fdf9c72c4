"""What `pytest hw_tests --target` may name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from neuroprivacy.core.errors import BackendUnavailable
from neuroprivacy.runtime.backend import Backend, load_backend

_ALL = ("loihi2", "loihi2-soft", "int8")
_LOIHI = ("loihi2", "loihi2-soft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A runtime.

    Attributes:
        name: on the command line.
        tool: whose version names the results.
        random: random Programs unless --random says otherwise.
        arithmetic: targets whose arithmetic it has; a Program of another one is refused, and must be.
        backend: name of the installed backend; None where this folder has its own.
        bounded: whether a Program may be too large for it, which is then not run.
    """

    name: str
    tool: str
    random: int
    arithmetic: tuple[str, ...] = _ALL
    backend: str | None = None
    bounded: bool = False


TARGETS = {
    target.name: target
    for target in (
        Target(name="fixedpoint", tool="numba", random=500, backend="fixedpoint"),
        Target(name="lava", tool="lava-nc", random=50, arithmetic=_LOIHI, backend="lava"),
        Target(name="c-host", tool="cc", random=100, backend="c99"),
        *(
            Target(name=f"cortex-{core}", tool="gcc", random=10, bounded=True)
            for core in ("m0", "m3", "m4", "m7", "m33", "m55")
        ),
        Target(name="loihi2-hw", tool="nxkernel", random=20, arithmetic=("loihi2",)),
    )
}


#: Targets that run emitted C.
C_TARGETS = tuple(name for name in TARGETS if name == "c-host" or name.startswith("cortex-"))


def backend_of(target: Target) -> Backend:
    """What runs a target's Programs.

    Raises:
        BackendUnavailable: what it needs is not installed here.
    """
    if target.backend is not None:
        return load_backend(target.backend)
    if target.name.startswith("cortex-"):
        from cortex_m.runner import CortexM

        return CortexM(target.name)
    if find_spec("nxcore") is None:
        raise BackendUnavailable(
            "loihi2-hw: Intel's hardware runtime (lava-loihi, with nxcore) is not installed; it comes to members of "
            "Intel's Neuromorphic Research Community"
        )
    raise BackendUnavailable(
        "loihi2-hw: a runtime is installed, but nobody has run these tests on a chip yet; report it, please"
    )
