"""The fast readers against the general one: equal changes, and frames that come back, however odd."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from typing import Any

import orjson

from rtnb.protocol import dialects
from rtnb.protocol.dialects import Unreadable
from rtnb.protocol.dialects.fast import read_fast
from rtnb.protocol.state import SessionState

TYPES = [
    "response.output_audio.delta",
    "response.audio.delta",
    "response.output_audio_transcript.delta",
    "response.audio_transcript.delta",
    "response.output_text.delta",
    "response.text.delta",
    "response.output_audio.done",
    "session.output_audio.delta",
    "response.function_call_arguments.delta",
    "response.hologram.delta",
]
TEXTS = [
    "",
    "a",
    "Hi there",
    'a "quoted" \\ word',
    "käse 🧀",
    "~",
    '"delta":"',
    "\u2028",
    "line\nbreak",
    "a/b",
]
ODD: list[Any] = [None, 0, 1, 1.0, True, "0", -1, 999, 10**12, [], {}, "x"]


def base64(rng: random.Random) -> str:
    """Return some audio in base64, sometimes not in the canonical form, or none at all."""
    text = b64encode(rng.randbytes(rng.choice([0, 1, 2, 3, 47, 48, 49, 50, 120, 480]))).decode()
    kind = rng.randrange(12)
    if kind == 0 and text.endswith("="):  # other unused bits, which decode to the same
        at = len(text.rstrip("=")) - 1
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return text[:at] + letters[letters.index(text[at]) ^ 1] + text[at + 1 :]
    if kind == 1:
        return text.rstrip("=")
    if kind == 2:
        return text.replace("+", "-").replace("/", "_")
    if kind == 3:
        return text[: len(text) // 2] + rng.choice(["%", " ", "\n", "é", "="]) + text[len(text) // 2 :]
    return text


def odd_frame(rng: random.Random) -> bytes:
    """Return a frame that is, or looks like, a piece of an answer."""
    kind = rng.choice(TYPES)
    event: dict[str, Any] = {
        "type": kind,
        "event_id": f"event_{rng.randrange(10**9)}",
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
        "delta": base64(rng) if "audio.delta" in kind or rng.random() < 0.2 else rng.choice(TEXTS),
    }
    for name in ("event_id", "response_id", "item_id", "output_index", "content_index", "delta"):
        odd = rng.random()
        if odd < 0.04:
            del event[name]
        elif odd < 0.1:
            event[name] = rng.choice(ODD)
    if rng.random() < 0.15:
        event[rng.choice(["extra", 'a"delta', "Delta", "obfuscation"])] = rng.choice(
            [
                {"delta": base64(rng)},
                [{"delta": "x", "type": kind}],
                '","delta":"AAAA',
                "audio.delta",
                5,
                None,
            ]
        )
    items = list(event.items())
    if rng.random() < 0.5:
        rng.shuffle(items)
    pairs = [(json.dumps(name), json.dumps(value, ensure_ascii=rng.random() < 0.3)) for name, value in items]
    if rng.random() < 0.08:  # a name twice: the last counts
        pairs.insert(rng.randrange(len(pairs)), rng.choice(pairs))
    if rng.random() < 0.05:
        pairs.append(('"delta"', json.dumps(base64(rng))))
    space = rng.choice(["", "", "", " ", "\n  ", "\t"])
    text = "{" + f",{space}".join(f"{name}:{space}{value}" for name, value in pairs) + space + "}"
    if rng.random() < 0.1:
        text = text.replace("/", "\\/")
    if rng.random() < 0.05:
        text = text.replace("A", "\\u0041", 3)
    if rng.random() < 0.05:
        text = f" {text} "
    frame = text.encode()
    damage = rng.random()
    if damage < 0.03:
        return frame[: rng.randrange(len(frame))]
    if damage < 0.06:
        at = rng.randrange(len(frame))
        return frame[:at] + rng.choice([b"\xff", b"\x00", b'"', b"\\", b"{", b"~"]) + frame[at + 1 :]
    return frame


def generally(frame: bytes) -> list[Any] | None:
    """Return what the general reader makes of a frame; None for one that it cannot read."""
    try:
        return list(dialects.read(orjson.loads(frame), "server"))
    except (Unreadable, ValueError, KeyError, TypeError):
        return None


def same(change: Any) -> Any:
    """Return a change without the base64 of its audio, which the fast reader leaves out."""
    fields = {name: getattr(change, name) for name in change.__struct_fields__ if name != "encoded"}
    return type(change), fields


def test_28_000_odd_frames_are_read_alike_and_come_back() -> None:
    rng = random.Random(9)
    state, frames, fast = SessionState(), [], 0
    for number in range(28_000):
        frame = odd_frame(rng)
        frames.append(frame)
        read = read_fast(frame)
        if read is not None:
            fast += 1
            general = generally(frame)
            assert general is not None, frame
            assert [same(one) for one in general] == [same(one) for one in read.changes], frame
            event = orjson.loads(frame)
            assert (read.type, read.event_id) == (event["type"], event.get("event_id", "")), frame
        state.append(frame, "server", mono_ns=number, wall_ns=number)
    assert fast > 5_000
    for entry, frame in zip(state.log, frames, strict=True):
        assert entry.frame == frame


def test_ordinary_frames_are_read_fast() -> None:
    rng = random.Random(10)
    for kind in TYPES[:6]:
        for size in (60, 4800):
            delta = b64encode(rng.randbytes(size)).decode() if kind.endswith("audio.delta") else "Hi there"
            where = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
            frame = orjson.dumps({"type": kind, "event_id": "e", **where, "delta": delta})
            assert read_fast(frame) is not None
