"""Conversations with the usage of each response, as the service reports it."""

import re
from html import unescape

from frames import Wire


def wire_usage(text=10, audio=20, hit_text=0, hit_audio=0, out_text=5, out_audio=40, **said):
    return {
        "total_tokens": text + audio + out_text + out_audio,
        "input_tokens": text + audio,
        "output_tokens": out_text + out_audio,
        "input_token_details": {
            "text_tokens": text,
            "audio_tokens": audio,
            "cached_tokens": hit_text + hit_audio,
            "cached_tokens_details": {"text_tokens": hit_text, "audio_tokens": hit_audio},
        },
        "output_token_details": {"text_tokens": out_text, "audio_tokens": out_audio},
        **said,
    }


def talk(*usages, wire=None):
    """A conversation with one response for each usage; None for one that was not reported."""
    wire = wire or Wire()
    wire.session()
    for number, usage in enumerate(usages):
        wire.text(f"item_{number}", "hello")
        wire.ask()
        wire.begin(f"resp_{number}", f"answer_{number}")
        wire.end(f"resp_{number}", usage=usage)
    return wire


def shown(view):
    """Both forms of a view, as one text of words."""
    html = view._repr_mimebundle_()["text/html"]
    return str(view) + unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html))
