import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprivacy.core.errors import BadFile, ConfigurationError, OutOfRange
from neuroprivacy.data import EVENT_DTYPE, bin_events, load_spikes, read_nmnist, save_spikes

Event = tuple[int, int, int, int]
EVENT = st.tuples(
    st.integers(0, 255),
    st.integers(0, 255).filter(lambda y: y != 240),
    st.integers(0, 1),
    st.integers(0, 2**23 - 1),
)


def packed(events: list[Event]) -> bytes:
    """The file format, by Python's integers: x, y, polarity and time side by side in 40 bits."""
    return b"".join((x << 32 | y << 24 | p << 23 | t).to_bytes(5, "big") for x, y, p, t in events)


def recorded(events: list[Event]) -> np.ndarray:
    return np.array(events, dtype=EVENT_DTYPE)


@pytest.mark.slow
@settings(deadline=None)
@given(events=st.lists(EVENT, min_size=1, max_size=30))
def test_what_is_packed_is_read(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "00001.bin"
        path.write_bytes(packed(events))
        read = read_nmnist(path)
    assert [tuple(event) for event in read.tolist()] == events
    assert read.dtype == EVENT_DTYPE
    assert not read.flags.writeable


def test_an_overflow_mark_moves_all_later_events_and_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(
        packed([(1, 1, 0, 8000), (0, 240, 0, 0), (2, 2, 1, 5), (0, 240, 1, 1), (3, 3, 1, 9)])
    )
    read = read_nmnist(tmp_path / "a.bin")
    assert read["t_us"].tolist() == [8000, 8192 + 5, 2 * 8192 + 9]
    assert read["x"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "is empty"),
        (packed([(1, 2, 1, 3)])[:-1], "holds 4 bytes, which is no multiple of the record's 5"),
        (packed([(0, 240, 0, 0)]), "holds overflow marks, but no event"),
        (packed([(1, 2, 1, 3)] * 3), "holds 15 bytes, the limit is 10"),
    ],
)
def test_faults(tmp_path: Path, payload: bytes, text: str) -> None:
    (tmp_path / "a.bin").write_bytes(payload)
    with pytest.raises(BadFile, match=text):
        read_nmnist(tmp_path / "a.bin", limit_bytes=10)


def test_a_missing_recording(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be read"):
        read_nmnist(tmp_path / "absent.bin")


@settings(deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 1), st.integers(0, 99)), max_size=40
    ),
    steps=st.integers(1, 12),
    channels=st.sampled_from([1, 2]),
    duration=st.none() | st.integers(1, 120),
)
def test_counts_equal_a_plain_loop(events: list[Event], steps: int, channels: int, duration: int | None) -> None:
    shape = (channels, 3, 5)
    counts = bin_events(recorded(events), steps=steps, shape=shape, duration_us=duration)
    end = duration or max([t for *_, t in events], default=0) + 1
    expected = np.zeros((steps, *shape), np.uint16)
    for x, y, p, t in events:
        if t < end:
            expected[t * steps // end, p if channels == 2 else 0, y, x] += 1
    assert counts.dtype == np.uint16
    assert np.array_equal(counts, expected)


def test_a_binned_recording_is_a_spike_file(tmp_path: Path) -> None:
    counts = bin_events(recorded([(0, 0, 1, 0), (1, 1, 0, 9)]), steps=2, shape=(2, 2, 2))
    save_spikes(tmp_path / "s.npz", spikes=counts[np.newaxis], labels=np.array([7]))
    assert np.array_equal(load_spikes(tmp_path / "s.npz")[0][0], counts)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0, "shape": (1, 2, 2)}, "0 steps of"),
        ({"steps": 1, "shape": (3, 2, 2)}, r"\(3, 2, 2\); give 1 or more steps of \(1 or 2, height, width\)"),
        ({"steps": 1, "shape": (1, 0, 2)}, "1 steps of"),
        ({"steps": 1, "shape": (1, 2, 2), "duration_us": 0}, r"duration_us \(0\) must be at least 1"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        bin_events(recorded([(0, 0, 0, 0)]), **options)  # type: ignore[arg-type]


def test_events_outside_of_the_shape_and_of_time() -> None:
    with pytest.raises(OutOfRange, match=r"events: x \(34\) exceeds 33; give the sensor's own shape"):
        bin_events(recorded([(34, 0, 0, 0)]), steps=1, shape=(2, 34, 34))
    with pytest.raises(OutOfRange, match=r"events: y \(34\) exceeds 33"):
        bin_events(recorded([(0, 34, 0, 0)]), steps=1, shape=(2, 34, 34))
    with pytest.raises(OutOfRange, match=r"events: polarity \(2\) exceeds 1"):
        bin_events(recorded([(0, 0, 2, 0)]), steps=1, shape=(2, 34, 34))
    with pytest.raises(ConfigurationError, match=r"time \(-1 us\) must not be negative"):
        bin_events(recorded([(0, 0, 0, -1)]), steps=1, shape=(2, 34, 34))


def test_a_count_that_sixteen_bits_cannot_hold() -> None:
    events = np.zeros(65536, dtype=EVENT_DTYPE)
    assert bin_events(events[1:], steps=1, shape=(1, 1, 1)).item() == 65535
    with pytest.raises(OutOfRange, match=r"count in one step \(65536\) exceeds 65535; use more steps"):
        bin_events(events, steps=1, shape=(1, 1, 1))
