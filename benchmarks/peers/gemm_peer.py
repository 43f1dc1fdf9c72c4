"""The dense bound: fp32 matrix products of 1536 x 1536, one a call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from serving import Simulator, Task, serve

_SIZE = 1536


class Gemm(Simulator):
    """One product a call."""

    packages = ("torch",)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        torch.set_num_threads(task.threads)
        self.a, self.b = torch.rand(_SIZE, _SIZE), torch.rand(_SIZE, _SIZE)
        self.c = torch.empty(_SIZE, _SIZE)

    def call(self, batch: Any) -> object:
        torch.mm(self.a, self.b, out=self.c)
        return None

    def rates(self, spikes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return {}

    def work(self, request: dict[str, Any]) -> dict[str, Any]:
        """Operations of a call: a multiplication and an addition each."""
        return {"flop": 2 * _SIZE**3}


if __name__ == "__main__":
    serve(Gemm)
