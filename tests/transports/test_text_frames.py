"""Frames are cut at their bounds, however a socket cuts them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtnb.transports.text_frames import TextFrames


def frame(first: int, payload: bytes, *, mask: bytes = b"", wide: bool = False) -> bytes:
    size = len(payload)
    bit = 128 if mask else 0
    if size < 126 and not wide:
        head = bytes([first, bit | size])
    elif size < 1 << 16:
        head = bytes([first, bit | 126]) + size.to_bytes(2)
    else:
        head = bytes([first, bit | 127]) + size.to_bytes(8)
    return head + mask + payload


TEXT, PING, CLOSE, BINARY, PART, REST, COMPRESSED = 0x81, 0x89, 0x88, 0x82, 0x01, 0x80, 0xC1
FRAMES = st.tuples(
    st.sampled_from([TEXT, TEXT, TEXT, PING, CLOSE, BINARY, PART, REST, COMPRESSED]),
    st.one_of(st.binary(max_size=130), st.sampled_from([bytes(300), b"x" * 70_000])),
    st.sampled_from([b"", b"", b"", b"mask"]),
    st.booleans(),
)


@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(1, 80_000), max_size=20))
def test_whole_text_frames_are_cut_out_and_all_else_is_left_as_it_is(frames, cuts):
    texts, others = [], []
    parser = TextFrames(texts.append, others.append)
    sent = [frame(first, payload, mask=mask, wide=wide) for first, payload, mask, wide in frames]
    stream, at = b"".join(sent), 0
    for size in [*cuts, len(stream) + 1]:
        parser.feed(stream[at : at + size])
        at += size
    # Whatever was not cut out is there whole and in order, and nothing twice.
    rest, left = b"".join(others), list(texts)
    for one, (first, payload, mask, _) in zip(sent, frames, strict=True):
        if first == TEXT and not mask and left and left[0] == payload and not rest.startswith(one):
            left.pop(0)
        else:
            assert rest.startswith(one)
            rest = rest[len(one) :]
    assert (rest, left) == (b"", [])
    assert all(other != b"" for other in others)


def test_in_one_read_every_text_frame_is_cut_out():
    texts, others = [], []
    parser = TextFrames(texts.append, others.append)
    parser.feed(frame(TEXT, b"one") + frame(PING, b"p") + frame(TEXT, b"x" * 70_000) + frame(TEXT, b""))
    assert texts == [b"one", b"x" * 70_000, b""]
    assert others == [frame(PING, b"p")]


def test_byte_by_byte_all_is_left_to_the_library():
    texts, others = [], []
    parser = TextFrames(texts.append, others.append)
    data = frame(TEXT, b"hello" * 40)
    for byte in data:
        parser.feed(bytes([byte]))
    assert (texts, b"".join(others)) == ([], data)


def test_too_long_or_not_enabled_is_left_to_the_library():
    texts, others = [], []
    parser = TextFrames(texts.append, others.append, limit=5)
    parser.feed(frame(TEXT, b"short") + frame(TEXT, b"longer"))
    parser.enabled = False
    parser.feed(frame(TEXT, b"off"))
    assert (texts, others) == ([b"short"], [frame(TEXT, b"longer"), frame(TEXT, b"off")])
