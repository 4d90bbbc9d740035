"""Audio and blocks that are in a file: the log gives back the same bytes, and holds none of them."""

from base64 import b64encode

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb.protocol.log import Log
from rtnb.protocol.log_storage import SpilledBlock, find_cut
from rtnb.recordings.writer import split


class Memory:
    """A store that counts what is read of it."""

    def __init__(self):
        self.data = bytearray()
        self.read_bytes = 0

    def add(self, data):
        self.data += b"between"
        self.data += data
        return len(self.data) - len(data)

    def read(self, at, size):
        self.read_bytes += size
        return bytes(self.data[at : at + size])


def spread(store, frame):
    """File a frame in two parts, the second first; return its spans."""
    middle = len(frame) // 2
    second = store.add(frame[middle:])
    return [(0, store.add(frame[:middle])), (middle, second)]


def fill(log, store, step, sizes, *, changed=()):
    """Append frames and file them ``step`` at a time; return the frames."""
    filing, frames = log.spill(store, store), []
    for number, size in enumerate(sizes):
        data = bytes([number % 251]) * (size // 2) if number % 3 else b""
        text = b64encode(data).decode()
        frame = b'{"n":%d,"pad":"%s","audio":"%s"}' % (number, b"p" * size, text.encode())
        log.append(
            frame,
            "server",
            "x",
            mono_ns=number,
            wall_ns=number,
            cut=find_cut(frame, text, data) if data else None,
        )
        frames.append(frame)
        if number % step == step - 1:
            piece = log.columns(number + 1 - step, number + 1)
            gone = piece.first // step in changed
            spans = [None if gone else spread(store, stored) for _, stored, _, _ in split(piece)]
            filing.note(piece.first, spans, [store.add(sound) for sound in piece.sounds])
    return frames


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 400_000), min_size=1, max_size=40),
    st.integers(1, 9),
    st.sets(st.integers(0, 5), max_size=2),
)
def test_filed_or_not_the_same_bytes(sizes, step, changed):
    log, store = Log(), Memory()
    frames = fill(log, store, step, sizes, changed=changed)
    assert [entry.frame for entry in log] == frames
    assert log.columns().frames == b"".join(log.columns_of(np.arange(len(log))).frames)
    assert log.lengths(np.arange(len(log))).tolist() == [len(frame) for frame in frames]
    filed = log.columns()
    plain = Log()
    fill(plain, Memory(), len(sizes) + 1, sizes)
    again = plain.columns()
    assert filed.frames == again.frames
    assert filed.sounds == again.sounds


def test_what_is_filed_is_not_held():
    log, store = Log(), Memory()
    frames = fill(log, store, 10, [2000] * 3000)
    assert sum(map(len, frames)) == log.bytes > 8_000_000
    assert log.nbytes < 2_000_000
    assert [type(block) for block in log._blocks] == [SpilledBlock] * len(log._blocks)
    store.read_bytes = 0
    assert log[1].frame == frames[1]
    assert store.read_bytes < 4000


def test_a_block_that_the_file_has_changed_stays():
    log, store = Log(), Memory()
    frames = fill(log, store, 10, [2000] * 3000, changed={100})
    assert [type(block) for block in log._blocks].count(bytes) == 1
    assert [entry.frame for entry in log] == frames
