"""A Program compiled into an image, run by QEMU, and read back: the kit's Backend for one processor."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from cortex_m.boards import BOARDS, Board
from neuroprivacy.core.errors import BackendUnavailable, Issue, WorkerFailed
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Artifact, Inputs, Record, RunResult, read_out
from neuroprivacy.runtime.counts import EventTally, count
from neuroprivacy_c99 import C99Backend
from neuroprivacy_c99.export import export
from neuroprivacy_c99.layer import membrane_type
from neuroprivacy_c99.network import Emitted, emit
from neuroprivacy_c99.packing import BYTES, Constant
from neuroprivacy_c99.sources import input_type
from neuroprivacy_c99.toolchain import STRICT, Compiler, compile_c, find_compiler

HERE = Path(__file__).parent
_TIMEOUT_S = 120
#: Flash that is kept free for code and samples, and RAM for the runner and the stack.
_CODE_BYTES, _STACK_BYTES = 24 * 1024, 2048


@dataclass
class CortexM:
    """One processor.

    Attributes:
        name: "cortex-m0" ...
        stack_bytes: what the last run used of the stack; likewise `image_bytes` of flash and RAM.
    """

    name: str
    stack_bytes: int = 0
    image_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def board(self) -> Board:
        return BOARDS[self.name]

    def check(self, program: Program) -> tuple[Issue, ...]:
        """What C refuses, and what the board's memory cannot hold."""
        found = C99Backend().check(program)
        if found:
            return found
        emitted = emit(program)
        for what, table, spare, limit in (
            ("constants", emitted.flash, _CODE_BYTES, self.board.flash[1]),
            ("states", emitted.ram, _STACK_BYTES, self.board.ram[1]),
        ):
            size = sum(size for _, size in table) + spare
            if size > limit:
                found += (Issue(where=self.board.machine, what=f"bytes of {what}", value=size, limit=limit),)
        return found

    def build(self, program: Program, folder: Path) -> Artifact:
        export(program, folder)
        return Artifact(backend=self.name, folder=folder, program=program)

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        program, folder = artifact.program, artifact.folder
        inputs = {port.name: np.asarray(spikes[port.name]) for port in program.inputs}
        joined = np.concatenate([inputs[port.name] for port in program.inputs], axis=2)
        samples, given = joined.shape[:2]
        steps, emitted = given + program.latency, emit(program)
        (folder / "samples.h").write_text(_samples(program, emitted, joined))
        image = folder / "image.elf"
        self._compile(folder, image)
        lines = self._simulate(image)
        fired, v, readout = _read(program, lines, samples, steps)
        events: dict[str, Int64] = {port.name: (inputs[port.name] != 0).sum(axis=1) for port in program.inputs}
        events |= {name: each.sum(axis=1, dtype=np.int64) for name, each in fired.items()}
        self.stack_bytes = int.from_bytes(bytes.fromhex(lines["k"][0]), "little")
        window = {name: fired[name][:, program.window(name, given)] for name in program.outputs}
        first = program.outputs[0]
        result = RunResult(
            backend=self.name,
            spikes=window,
            readout=read_out(program, window[first], v),
            counts=count(program, EventTally(program, events), steps=steps),
            layer_spikes=fired if record.spikes else None,
            final_v=v if record.final else None,
            versions=self.versions(),
        )
        if not np.array_equal(readout, result.readout):
            raise WorkerFailed(f"{self.name}: network_readout differs from the spikes and membranes")
        return result

    def versions(self) -> dict[str, str]:
        """Of compiler and simulator."""
        return {"gcc": cross_compiler().version, "qemu": simulator().version}

    def _compile(self, folder: Path, image: Path) -> None:
        (address, size), (ram, ram_size) = self.board.flash, self.board.ram
        places = {"FLASH_ORIGIN": address, "FLASH_SIZE": size, "RAM_ORIGIN": ram, "RAM_SIZE": ram_size}
        compile_c(
            cross_compiler(),
            [
                *STRICT, "-Os", f"-mcpu={self.board.cpu}", "-mthumb", "-ffreestanding", "-nostdlib",
                f"-I{HERE}", f"-I{folder}", str(HERE / "start.c"), str(HERE / "main.c"),
                *(f"-Wl,--defsym={name}={value}" for name, value in places.items()),
                f"-Wl,-T,{HERE / 'board.ld'}", "-lgcc", "-o", str(image),
            ],
        )  # fmt: skip
        done = subprocess.run(["arm-none-eabi-size", str(image)], capture_output=True, text=True, check=True)
        text, data, bss = map(int, done.stdout.splitlines()[1].split()[:3])
        self.image_bytes = {"flash": text + data, "ram": data + bss}

    def _simulate(self, image: Path) -> dict[str, list[str]]:
        """What the image wrote, by the first letter of its lines."""
        command = [
            *simulator().command, "-M", self.board.machine, "-display", "none", "-monitor", "none", "-serial", "none",
            "-semihosting-config", "enable=on,target=native", "-kernel", str(image),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise WorkerFailed(f"{self.name}: QEMU did not end within {_TIMEOUT_S} s") from error
        written = done.stdout + done.stderr
        if done.returncode != 0:
            raise WorkerFailed(f"{self.name}: QEMU ended with {done.returncode}: {written[-500:]}")
        lines: dict[str, list[str]] = {}
        for kind, text in re.findall(r"^([a-z]) ([0-9a-f]*)$", written, re.MULTILINE):
            lines.setdefault(kind, []).append(text)
        return lines


def _samples(program: Program, emitted: Emitted, joined: Int64) -> str:
    """The text of samples.h: the input, and which layers are written out."""
    samples, given = joined.shape[:2]
    firing = [emitted.sources[layer.name] for layer in program.layers if layer.fires]
    spikes = " ".join(f"write_bytes('s', {source.at(0)}, {source.width}u);" for source in firing)
    width = BYTES[membrane_type(program)]
    membranes = " ".join(
        f"write_bytes('v', v_{emitted.sources[layer.name].id}, {width * layer.size}u);" for layer in program.layers
    )
    array = Constant(name="samples", type=input_type(program), values=joined.reshape(-1)).text()
    return (
        f"#define SAMPLES {samples}u\n#define STEPS {given}u\n#define WRITE_SPIKES {spikes}\n"
        f"#define WRITE_MEMBRANES {membranes}\n{array}"
    )


def _read(
    program: Program, lines: dict[str, list[str]], samples: int, steps: int
) -> tuple[dict[str, np.ndarray], dict[str, Int64], Int64]:
    """Spikes (samples, steps, neurons) and membranes (samples, neurons) by layer, and readouts."""
    firing = [layer for layer in program.layers if layer.fires]
    if len(lines.get("s", [])) != samples * steps * len(firing) or len(lines.get("r", [])) != samples:
        raise WorkerFailed(f"the image wrote {len(lines.get('s', []))} lines of spikes; the run was cut off")
    fired = {layer.name: np.zeros((samples, steps, layer.size), np.uint8) for layer in program.layers}
    texts = iter(lines.get("s", []))
    for s in range(samples):
        for t in range(steps):
            for layer in firing:
                packed = np.frombuffer(bytes.fromhex(next(texts)), np.uint8)
                fired[layer.name][s, t] = np.unpackbits(packed, bitorder="little", count=layer.size)
    words, kind = iter(lines["v"]), f"<i{BYTES[membrane_type(program)]}"
    v: dict[str, list[Int64]] = {layer.name: [] for layer in program.layers}
    for _ in range(samples):
        for layer in program.layers:
            v[layer.name].append(np.frombuffer(bytes.fromhex(next(words)), kind).astype(np.int64))
    readout = np.stack([np.frombuffer(bytes.fromhex(text), "<i4") for text in lines["r"]]).astype(np.int64)
    return fired, {name: np.stack(each) for name, each in v.items()}, readout


@cache
def cross_compiler() -> Compiler:
    """The compiler for Cortex-M.

    Raises:
        BackendUnavailable: it is not installed.
    """
    return _needed("arm-none-eabi-gcc", "gcc-arm-none-eabi")


@cache
def simulator() -> Compiler:
    """QEMU.

    Raises:
        BackendUnavailable: it is not installed.
    """
    return _needed("qemu-system-arm", "qemu-system-arm")


def _needed(command: str, package: str) -> Compiler:
    found = find_compiler(command)
    if found is None or (command.startswith("arm") and shutil.which("arm-none-eabi-size") is None):
        raise BackendUnavailable(f"{command} is not here; install Debian's {package}")
    return found
