"""Audio: clips, PCM16 and G.711, files, resampling and peaks."""

from rtnb.audio.clip import Clip
from rtnb.audio.codecs import Codec, wire_format
from rtnb.audio.peaks import Peaks
from rtnb.audio.samples import Resampler

__all__ = ["Clip", "Codec", "Peaks", "Resampler", "wire_format"]
