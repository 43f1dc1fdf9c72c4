"""Event-camera recordings in the binary format of N-MNIST and N-Caltech101: 40 bits an event.

    bits 39 … 32    x, pixels from the left
    bits 31 … 24    y, pixels from the top; 240 marks no event but an overflow of the clock
    bit  23         polarity: 1 brighter (ON), 0 darker (OFF)
    bits 22 … 0     time, microseconds

Big endian, no header. An overflow mark adds 2^13 us to every later time (and is itself dropped), as the
authors' reader does; N-MNIST's 0.3 s recordings hold none.

Source: G. Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades",
Front. Neurosci. 9:437 (2015); https://github.com/gorchard/event-Python, `eventvision.py`, `read_dataset`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile, ConfigurationError, OutOfRange
from neuroprivacy.data.binary import read_records

EVENT_BYTES = 5
OVERFLOW_Y = 240
OVERFLOW_US = 2**13
#: A recording may hold this many bytes (13 million events). Chosen: N-MNIST's hold about 20 kB.
MAX_RECORDING_BYTES = 2**26

#: One event: x and y in pixels, polarity 0 or 1, time in microseconds.
EVENT_DTYPE = np.dtype([("x", np.uint8), ("y", np.uint8), ("polarity", np.uint8), ("t_us", np.int64)])
Events = NDArray[np.void]

_MAX_COUNT = int(np.iinfo(np.uint16).max)


def read_nmnist(path: Path, *, limit_bytes: int = MAX_RECORDING_BYTES) -> Events:
    """Read one N-MNIST recording.

    Returns:
        `EVENT_DTYPE` (events,), in the order of the file, read-only; the file says nothing about the sensor's
        size.

    Raises:
        BadFile: the file is missing, empty, holds no event, ends within one, or is larger than `limit_bytes`.
    """
    payload = read_records(path, record_bytes=EVENT_BYTES, limit_bytes=limit_bytes)
    octets = np.frombuffer(payload, dtype=np.uint8).reshape(-1, EVENT_BYTES)
    low = octets[:, 2:].astype(np.int64)
    overflow = octets[:, 1] == OVERFLOW_Y
    events = np.empty(len(octets), dtype=EVENT_DTYPE)
    events["x"], events["y"] = octets[:, 0], octets[:, 1]
    events["polarity"] = octets[:, 2] >> 7
    events["t_us"] = ((low[:, 0] & 0x7F) << 16) | (low[:, 1] << 8) | low[:, 2]
    events["t_us"] += OVERFLOW_US * np.cumsum(overflow)
    if overflow.all():
        raise BadFile(path, "holds overflow marks, but no event")
    kept: Events = events[~overflow]
    kept.setflags(write=False)
    return kept


def bin_events(
    events: NDArray[Any], *, steps: int, shape: tuple[int, int, int], duration_us: int | None = None
) -> NDArray[np.uint16]:
    """Count the events of each pixel in `steps` equal slices of time, which begin at time 0.

    Event at time t falls into step floor(t * steps / duration_us), computed in integers.

    Args:
        events: `EVENT_DTYPE` (events,), in any order.
        steps: number of slices, at least 1.
        shape: (channels, height, width); 2 channels keep the polarities apart (0 OFF, 1 ON), 1 adds them up.
        duration_us: length of all slices together, microseconds; later events are left out. None ends with
            the last event, so that recordings of different length are stretched to the same number of steps.

    Returns:
        uint16 (steps, channels, height, width), spikes as in `events.save_spikes`.

    Raises:
        ConfigurationError: an argument is not as stated here.
        OutOfRange: an event lies outside `shape`, or a pixel has more than 65535 events in one step.
    """
    channels, height, width = shape
    if steps < 1 or channels not in (1, 2) or height < 1 or width < 1:
        raise ConfigurationError(
            f"bin_events: {steps} steps of {shape}; give 1 or more steps of (1 or 2, height, width)"
        )
    if duration_us is not None and duration_us < 1:
        raise ConfigurationError(f"bin_events: duration_us ({duration_us}) must be at least 1")
    time = events["t_us"].astype(np.int64)
    if duration_us is None:
        duration_us = int(time.max()) + 1 if len(time) else 1
    if len(time) and int(time.min()) < 0:
        raise ConfigurationError(f"bin_events: time ({time.min()} us) must not be negative")
    for axis, size in (("x", width), ("y", height), ("polarity", 2)):
        if len(time) and int(events[axis].max()) >= size:
            raise OutOfRange(f"events: {axis} ({events[axis].max()}) exceeds {size - 1}; give the sensor's own shape")
    kept = events[time < duration_us]
    step = kept["t_us"].astype(np.int64) * steps // duration_us
    channel = kept["polarity"].astype(np.int64) if channels == 2 else np.zeros(len(kept), np.int64)
    flat = np.ravel_multi_index((step, channel, kept["y"], kept["x"]), (steps, *shape))
    counts = np.bincount(flat, minlength=steps * channels * height * width)
    if int(counts.max()) > _MAX_COUNT:
        raise OutOfRange(f"events: count in one step ({counts.max()}) exceeds {_MAX_COUNT}; use more steps")
    return counts.astype(np.uint16).reshape(steps, *shape)
