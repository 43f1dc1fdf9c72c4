"""From scikit-learn's digits to the integers of Loihi 2, in one page; offline, less than a minute.

python examples/digits_to_loihi2.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import neuroprivacy as npv


def main(folder: Path) -> float:
    """Train, synthesize, convert, lower and run; returns the accuracy of the integers."""
    data = npv.load_dataset("digits")
    spec = npv.model_spec("convnet", input_shape=data.sample_shape, classes=data.num_classes)
    ann = npv.train(spec, dataset=data, settings=npv.FitSettings(epochs=8, batch_size=32, lr=2e-3, threads=1))

    # From here on the training data is not needed: the images come from the network itself.
    settings = npv.SynthesisSettings(count=300, jitter=1)
    images = npv.synthesize(ann, input_shape=data.sample_shape, settings=settings).images
    snn = npv.convert(ann, calibration=images, time_steps=16)

    graph = npv.to_nir(snn)
    npv.save_nir(graph, folder / "digits.nir")
    lowered = npv.lower(graph, target="loihi2")
    for issue in lowered.diagnostics:
        print(f"diagnostic: {issue}")
    artifact = npv.build(lowered.program, backend="fixedpoint", folder=folder / "fixedpoint")
    right = npv.simulate(artifact, images=data.test_images).accuracy(data.test_labels)

    print(f"ANN      {npv.accuracy(ann, data.test_images, data.test_labels):.3f}")
    print(f"SNN      {npv.accuracy(snn, data.test_images, data.test_labels):.3f}")
    print(f"integers {right:.3f}")
    return right


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="digits-")))
