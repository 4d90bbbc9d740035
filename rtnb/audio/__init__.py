"""Audio: clips, PCM16 and G.711, files, resampling, peaks, and the static view of a clip."""

from rtnb.audio.clip import Clip
from rtnb.audio.codecs import Codec, wire_format
from rtnb.audio.peaks import Peaks
from rtnb.audio.samples import Resampler
from rtnb.render.audio_player import clip_html, waveform_svg

__all__ = ["Clip", "Codec", "Peaks", "Resampler", "clip_html", "waveform_svg", "wire_format"]
