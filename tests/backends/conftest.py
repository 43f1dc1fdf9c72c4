"""What tests of backends share."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neuroprivacy_fixedpoint import aligned, batch

#: Bytes before and behind an array that nothing may write.
GUARD = 512


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put bytes around all buffers of the compiled simulator, whose kernels check no bounds, and look at them later.

    Scratch, and states before the first step, hold anything.
    """
    generator = np.random.default_rng(0)
    guards: list[tuple[NDArray[np.uint8], bytes]] = []

    def zeros(shape: int | tuple[int, ...], kind: Any) -> NDArray[Any]:
        """Between two guards."""
        room = GUARD // np.dtype(kind).itemsize
        size = int(np.prod(shape))
        memory = aligned.zeros(size + 2 * room, kind)
        for guard in (memory[:room], memory[room + size :]):
            guard.view(np.uint8)[:] = generator.integers(1, 256, guard.nbytes, np.uint8)
            guards.append((guard.view(np.uint8), guard.tobytes()))
        return memory[room : room + size].reshape(shape)

    made = batch.Batch.__init__

    def make(self: batch.Batch, *given: Any) -> None:
        """With garbage in what is overwritten before it is read."""
        made(self, *given)
        scratch = [
            each
            for one in self.scratch
            for each in (one.lists, one.value, one.listed, one.starts, *one.sums, *one.wide_sums)
        ]
        for array in (*scratch, *self.states, *self.wide_states, self.totals, self.graded_totals, self.tallied):
            flat = array.reshape(-1).view(np.uint8)
            flat[:] = generator.integers(0, 256, flat.size, np.uint8)

    monkeypatch.setattr(batch, "zeros", zeros)
    monkeypatch.setattr(batch.Batch, "__init__", make)
    yield
    assert guards
    for guard, held in guards:
        assert guard.tobytes() == held, "a kernel wrote behind an array, or before it"
