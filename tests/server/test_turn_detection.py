from __future__ import annotations

from rtnb.server.audio_input import TurnDetector
from rtnb.server.schema import defaults

SERVER_VAD = defaults("s", "m", 0)["audio"]["input"]["turn_detection"]
WIDTH = 32.0


def edges(detector: TurnDetector, *probabilities: float) -> list[tuple[str, float]]:
    found = []
    for index, probability in enumerate(probabilities):
        edge = detector.feed(probability, index * WIDTH, (index + 1) * WIDTH)
        if edge:
            found.append((edge.kind, edge.ms))
    return found


def test_one_loud_window_is_a_click():
    assert edges(TurnDetector(SERVER_VAD), 0, 1, 0, 0, 1, 0) == []


def test_a_turn_begins_where_speech_began_and_ends_with_its_silence():
    detector = TurnDetector(SERVER_VAD)
    assert edges(detector, 0, 0, 1, 1, 1, *[0] * 7, 0) == [
        ("started", 64.0),
        ("paused", 224.0),
        ("stopped", 360.0),
    ]
    assert not detector.speaking


def test_speech_that_goes_on_resumes():
    kinds = [kind for kind, _ in edges(TurnDetector(SERVER_VAD), 1, 1, 0, 0, 0, 1, 0, 1, 0, *[0] * 7)]
    assert kinds == ["started", "paused", "resumed", "paused", "stopped"]


def test_a_little_below_the_threshold_is_still_speech():
    detector = TurnDetector({**SERVER_VAD, "threshold": 0.6})
    assert [kind for kind, _ in edges(detector, 0.55, 0.55, 0.65, 0.65, *[0.5] * 20)] == ["started"]
    assert [kind for kind, _ in edges(detector, *[0.4] * 20)] == ["paused", "stopped"]


def test_no_silence_at_all_ends_a_turn_at_once():
    detector = TurnDetector({**SERVER_VAD, "silence_duration_ms": 0})
    assert edges(detector, 1, 1, 1, 0) == [("started", 0.0), ("stopped", 96.0)]


def test_new_settings_in_the_middle_of_a_turn():
    detector = TurnDetector(SERVER_VAD)
    edges(detector, 1, 1)
    detector.configure({"type": "semantic_vad", "eagerness": "low"})
    assert [kind for kind, _ in edges(detector, *[0] * 30)] == ["paused"]
    detector.reset()
    assert edges(detector, *[0] * 30) == []
