import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.data import load_spikes, save_spikes

SPIKES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
FAULTS = [
    ({"spikes": SPIKES.astype(np.float32)}, "spikes are float32 where unsigned integers are expected"),
    ({"spikes": SPIKES > 3}, "spikes are bool"),
    ({"spikes": SPIKES.astype(np.int8)}, "spikes are int8"),
    ({"spikes": SPIKES[0]}, r"spikes have the shape \(3, 4\) where \(samples, steps, \*shape\)"),
    ({"spikes": SPIKES[:, :0]}, "no axis empty"),
    ({"spikes": SPIKES, "labels": np.array([1])}, r"labels are int64 \(1,\) where integers \(2,\)"),
    ({"spikes": SPIKES, "labels": np.array([1.0, 2.0])}, "labels are float64"),
    ({"spikes": SPIKES, "labels": np.array([0, -1])}, "labels range from -1 to 0"),
    (
        {"spikes": SPIKES, "labels": np.array([0, 2**63], np.uint64)},
        "labels range from 0 to 9223372036854775808",
    ),
]


@pytest.mark.slow
@settings(deadline=None)
@given(data=st.data())
def test_what_is_saved_is_loaded(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64]))
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=5, max_side=4))
    spikes = data.draw(hnp.arrays(dtype, shape))
    labels = data.draw(st.none() | hnp.arrays(np.int64, shape[0], elements=st.integers(0, 2**62)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spikes.npz"
        save_spikes(path, spikes=spikes, labels=labels)
        loaded, loaded_labels = load_spikes(path)
    assert loaded.dtype == spikes.dtype
    assert np.array_equal(loaded, spikes)
    assert not loaded.flags.writeable
    assert (labels is None) == (loaded_labels is None)
    if labels is not None and loaded_labels is not None:
        assert np.array_equal(loaded_labels, labels)
        assert not loaded_labels.flags.writeable


@pytest.mark.parametrize(("arrays", "text"), FAULTS)
def test_faults_in_files(tmp_path: Path, arrays: dict[str, np.ndarray], text: str) -> None:
    np.savez(tmp_path / "spikes.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(BadFile, match=f"spikes.npz: {text}|{text}"):
        load_spikes(tmp_path / "spikes.npz")


@pytest.mark.parametrize(("arrays", "text"), FAULTS)
def test_nothing_is_saved_that_could_not_be_loaded(tmp_path: Path, arrays: dict[str, np.ndarray], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        save_spikes(tmp_path / "spikes.npz", **arrays)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_signed_spikes_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "spikes.npz"
    signed = SPIKES.astype(np.int8) - 5
    save_spikes(path, spikes=signed, allow_signed=True)
    with pytest.raises(BadFile, match="spikes are int8 where unsigned integers"):
        load_spikes(path)
    assert np.array_equal(load_spikes(path, allow_signed=True)[0], signed)
    np.savez(path, spikes=SPIKES.astype(np.float32))
    with pytest.raises(BadFile, match="where integers are expected"):
        load_spikes(path, allow_signed=True)


def test_unsigned_labels_become_int64_and_other_arrays_are_left_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", spikes=SPIKES, labels=np.array([1, 2], np.uint8), readout=np.zeros(3))
    labels = load_spikes(tmp_path / "r.npz")[1]
    assert labels is not None
    assert (labels.dtype, labels.tolist()) == (np.int64, [1, 2])


def test_files_that_are_no_spike_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", images=SPIKES)
    with pytest.raises(BadFile, match=r"has no array 'spikes' \(it has images\)"):
        load_spikes(tmp_path / "other.npz")
    np.savez(tmp_path / "objects.npz", spikes=np.array([{}], dtype=object))
    with pytest.raises(BadFile, match="is not a readable npz archive"):
        load_spikes(tmp_path / "objects.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(BadFile, match="is not a readable npz archive"):
        load_spikes(tmp_path / "text.npz")
    with pytest.raises(BadFile, match="cannot be read"):
        load_spikes(tmp_path / "absent.npz")


def test_equal_recordings_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_spikes(tmp_path / name, spikes=SPIKES, labels=np.array([1, 0]))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
