"""Lava: Dense and LIF processes of its fixed-point models. Compiling and starting is not timed; state runs on."""

import os
import sys
from importlib.metadata import version

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF
from protocol import serve


class Peer:
    """Layers of `integers.npz`, which holds the Program's own weights and thresholds; W1 alone, dense layers."""

    def __init__(self, folder, layers, weights):
        self.steps = int(os.environ.get("LAVA_STEPS", "32"))
        with np.load(folder / "integers.npz") as file:
            self.data = {name: file[name] for name in file.files}
        self.inputs = np.load(folder / "inputs.npy")
        self.started = False

    def start(self):
        first = self.inputs[0]
        data = first.reshape(len(first), -1).T if first.ndim == 2 else first.transpose(2, 3, 1, 0)
        self.source = RingBuffer(data=data.astype(np.int32))
        out = self.source.s_out
        self.neurons = []
        for i in range(int(self.data["count"])):
            weight = self.data[f"weight{i}"]
            if weight.ndim == 2:
                dense = Dense(weights=weight.astype(np.int32) << 1, weight_exp=-1, num_message_bits=0)
                port = out if out.shape == dense.s_in.shape else out.reshape(dense.s_in.shape)
                port.connect(dense.s_in)
                link, shape = dense, dense.a_out.shape
            else:
                conv = Conv(weight=weight.transpose(0, 2, 3, 1).astype(np.int32), input_shape=out.shape, padding=(1, 1))
                out.connect(conv.s_in)
                link, shape = conv, conv.a_out.shape
            lif = LIF(shape=shape, vth=int(self.data[f"threshold{i}"]), du=4095, dv=410)
            link.a_out.connect(lif.a_in)
            self.neurons.append(lif)
            out = lif.s_out
        self.neurons[0].run(condition=RunSteps(num_steps=1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        self.started = True

    def take(self, inputs):
        if not self.started:
            self.start()
        return len(inputs)

    def run(self, batch):
        for _ in range(batch):
            self.neurons[0].run(condition=RunSteps(num_steps=self.steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))

    def rates(self, batch):
        raise NotImplementedError("not recorded; hw_tests compares Lava's spikes one by one")

    def versions(self):
        return {"lava-nc": version("lava-nc"), "python": sys.version.split()[0]}


if __name__ == "__main__":
    serve(Peer)
