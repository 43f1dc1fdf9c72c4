"""The networks, targets and weight widths that are measured, and the bounds that were asked for."""

from __future__ import annotations

from neuroprivacy.experiments.image_network import Network
from neuroprivacy.experiments.recurrent import Rows
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.kernels.neuron import Reset

#: Training images that choose scales and rounding where there is calibration.
CALIBRATION = 1000
#: Largest number of populations of a layer.
POPULATIONS = 8
NETWORKS: dict[str, Network | Rows] = {
    "mnist": Network(dataset="mnist", family="convnet", steps=8, epochs=4),
    "fashion-mnist": Network(dataset="fashion-mnist", family="convnet", steps=8, epochs=6, quantized_epochs=2),
    "mnist-rows": Rows(dataset="mnist"),
    "cifar-10": Network(
        dataset="cifar-10", family="vgg5", steps=6, ann_epochs=14, epochs=6, quantized_epochs=2, width=0.5,
        batch_norm=True, lr=5e-4, quantized_lr=2e-4,
    ),
}  # fmt: skip
TARGETS: dict[Reset, str] = {"hard": "loihi2", "soft": "loihi2-soft"}
#: Name -> (weight bits, whether the network is trained at them, whether there are calibration samples).
WAYS: dict[str, tuple[WeightBits, bool, bool]] = {
    "8 bits": (8, False, False),
    "8 bits, calibrated": (8, False, True),
    "8 bits, trained": (8, True, False),
    "4 bits": (4, False, False),
    "4 bits, calibrated": (4, False, True),
    "4 bits, trained": (4, True, False),
    "2 bits, trained": (2, True, False),
    "ternary, calibrated": ("ternary", False, True),
    "ternary, trained": ("ternary", True, False),
}
#: Noise of `sensitivity` relative to the root mean square of the weights: 0.1 %, and the least error of 8 bits.
NOISE = (0.001, 0.007)
#: The same for noise in the first layer alone.
FIRST_NOISE = (0.00001, 0.0001, 0.001)
#: Way -> (largest loss of accuracy, largest share of changed predictions), both as fractions.
BOUNDS: dict[str, tuple[float, float | None]] = {
    "8 bits": (0.003, 0.02),
    "8 bits, calibrated": (0.003, 0.02),
    "4 bits, calibrated": (0.02, None),
    "4 bits, trained": (0.007, None),
}
