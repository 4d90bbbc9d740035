"""PCM16 and G.711 as bytes on the wire.

A `Codec` turns float samples into bytes and back; `wire_format` finds the one for a ``format`` object of
the Realtime protocol (GA dialect). PCM16 is little-endian; full scale is 32768, so that int16 → float →
int16 is exact. G.711 follows the tables of ITU-T Recommendation G.711 (11/88), in the arithmetic of the
ITU's own software tools (G.191, ``g711.c``); samples go through 16 bit on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtnb.audio.samples import Samples, as_rate, short
from rtnb.errors import AudioError

__all__ = ["Codec", "alaw", "decoded_length", "from_pcm16", "pcm16", "to_pcm16", "ulaw", "wire_format"]

Bytes = bytes | bytearray | memoryview


def to_int16(samples: Samples) -> NDArray[np.int16]:
    """Round floats to int16, limited at full scale (1.0 becomes 32767)."""
    scaled = np.rint(np.asarray(samples, np.float32) * np.float32(32768.0))
    limited: NDArray[np.int16] = np.clip(scaled, -32768.0, 32767.0).astype(np.int16)
    return limited


def to_pcm16(samples: Samples) -> bytes:
    """Return float samples, shape ``(n,)``, as 2n bytes of little-endian PCM16.

    Examples
    --------
    >>> to_pcm16(np.array([0.0, 0.5, -1.0], np.float32)).hex()
    '000000400080'
    """
    return to_int16(samples).astype("<i2", copy=False).tobytes()


def from_pcm16(data: Bytes) -> Samples:
    """Return 2n bytes of little-endian PCM16 as float32 of shape ``(n,)`` in [-1, 1).

    Raises
    ------
    AudioError
        ``data`` is not bytes, or has half a sample at its end.
    """
    data = _bytes(data)
    if len(data) % 2:
        raise AudioError(f"PCM16 has 2 bytes per sample; got {len(data)} bytes, an odd number")
    samples: Samples = np.multiply(np.frombuffer(data, "<i2"), np.float32(1 / 32768), dtype=np.float32)
    return samples


def _bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise AudioError(f"raw audio must be bytes; got {type(data).__name__}")


def decoded_length(text: str | bytes) -> int:
    """Return how many bytes base64 decodes to, without decoding it; the padding may be missing.

    Exact for valid base64 without line breaks.

    Examples
    --------
    >>> decoded_length("AAAAQACA"), decoded_length("AAA="), decoded_length("AAA")
    (6, 2, 2)
    """
    end = text[-2:]
    padding = end.count("=") if isinstance(end, str) else end.count(b"=")
    return (len(text) - padding) * 3 // 4


def _expand_ulaw() -> NDArray[np.int16]:
    code = ~np.arange(256)
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = (((mantissa << 3) + 0x84) << exponent) - 0x84
    table: NDArray[np.int16] = np.where(code & 0x80, -size, size).astype(np.int16)
    return table


def _compress_ulaw() -> NDArray[np.uint8]:
    value = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int64)
    size = np.minimum((np.where(value < 0, ~value, value) >> 2) + 33, 0x1FFF)
    segment = np.searchsorted(2 ** np.arange(6, 13), size, side="right") + 1
    code = ((8 - segment) << 4) | (15 - ((size >> segment) & 15))
    table: NDArray[np.uint8] = np.where(value >= 0, code | 0x80, code).astype(np.uint8)
    return table


def _expand_alaw() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = ((mantissa + np.where(exponent > 0, 16, 0)) << 4) + 8
    size = size << np.maximum(exponent - 1, 0)
    table: NDArray[np.int16] = np.where(code & 0x80, size, -size).astype(np.int16)
    return table


def _compress_alaw() -> NDArray[np.uint8]:
    value = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int64)
    size = np.where(value < 0, ~value, value) >> 4
    exponent = np.searchsorted(2 ** np.arange(4, 11), size, side="right")
    mantissa = (size >> np.maximum(exponent - 1, 0)) & 15
    code = (exponent << 4) | mantissa
    table: NDArray[np.uint8] = (np.where(value >= 0, code | 0x80, code) ^ 0x55).astype(np.uint8)
    return table


@cache
def _tables(law: str) -> tuple[NDArray[np.uint8], Samples]:
    compress, expand = (
        (_compress_ulaw, _expand_ulaw) if law == "audio/pcmu" else (_compress_alaw, _expand_alaw)
    )
    return compress(), expand().astype(np.float32) / np.float32(32768.0)


def _encode_law(law: str) -> Callable[[Samples], bytes]:
    return lambda samples: _tables(law)[0][to_int16(samples).view(np.uint16)].tobytes()


def _decode_law(law: str) -> Callable[[Bytes], Samples]:
    return lambda data: _tables(law)[1][np.frombuffer(_bytes(data), np.uint8)]


@dataclass(frozen=True, slots=True)
class Codec:
    """An audio format on the wire: how samples become bytes.

    ``type`` is the protocol's name, ``rate`` in Hz, ``width`` bytes per sample. ``encode`` takes float32 of
    shape ``(n,)`` and limits at full scale; ``decode`` returns float32 of shape ``(n,)`` in [-1, 1].
    """

    type: str
    rate: int
    width: int
    encode: Callable[[Samples], bytes]
    decode: Callable[[Bytes], Samples]

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of audio: 48000 for PCM16 at 24 kHz, 8000 for G.711."""
        return self.rate * self.width

    @property
    def format(self) -> dict[str, Any]:
        """The protocol's ``format`` object of this codec; G.711, always at 8 kHz, has no ``rate`` in it."""
        return {"type": self.type, "rate": self.rate} if self.type == "audio/pcm" else {"type": self.type}


pcm16 = Codec("audio/pcm", 24_000, 2, to_pcm16, from_pcm16)
ulaw = Codec("audio/pcmu", 8_000, 1, _encode_law("audio/pcmu"), _decode_law("audio/pcmu"))
alaw = Codec("audio/pcma", 8_000, 1, _encode_law("audio/pcma"), _decode_law("audio/pcma"))


def wire_format(fmt: Mapping[str, Any]) -> Codec:
    """Return the codec of a protocol ``format`` object.

    ``{"type": "audio/pcm", "rate": 24000}`` (a missing or null rate means 24000, the only one the hosted
    service takes; other servers may take others), ``{"type": "audio/pcmu"}``, ``{"type": "audio/pcma"}``
    (both 8000 Hz).

    Raises
    ------
    AudioError
        Another type, or a rate the type cannot have.

    Examples
    --------
    >>> wire_format({"type": "audio/pcmu"}).bytes_per_second
    8000
    """
    if not isinstance(fmt, Mapping):
        raise AudioError(
            'an audio format must be an object such as {"type": "audio/pcm", "rate": 24000}; '
            f"got {type(fmt).__name__}"
        )
    kind, rate = fmt.get("type"), fmt.get("rate")
    if kind == "audio/pcm":
        return pcm16 if rate is None else replace(pcm16, rate=as_rate(rate, "the rate of audio/pcm"))
    if kind in ("audio/pcmu", "audio/pcma"):
        if rate not in (None, 8_000):
            raise AudioError(f"{kind} is always 8000 Hz; got rate {short(rate)}")
        return ulaw if kind == "audio/pcmu" else alaw
    raise AudioError(
        f"the type of an audio format must be audio/pcm, audio/pcmu or audio/pcma; got {short(kind)}"
    )
