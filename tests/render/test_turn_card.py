"""The static turn card, from records made by hand."""

import re
from base64 import b64encode
from html import unescape
from html.parser import HTMLParser

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtnb.render.audio_player as player_module
import rtnb.render.turn_card as card_module
from rtnb import Clip
from rtnb.analysis import labels
from rtnb.analysis.turn import TOOL_ERROR, TurnView
from rtnb.protocol.state import SessionState
from rtnb.redaction import plain as neutral
from rtnb.render.turn_card import turn_html, turns_html

DETECTION = {"type": "server_vad", "create_response": True, "silence_duration_ms": 200}
USAGE = {
    "total_tokens": 320,
    "input_tokens": 132,
    "output_tokens": 188,
    "input_token_details": {
        "text_tokens": 59,
        "audio_tokens": 73,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 64},
    },
    "output_token_details": {"text_tokens": 41, "audio_tokens": 147},
}


class Script:
    """Writes a record frame by frame, each ``ms`` after the one before."""

    def __init__(self, model="gpt-realtime-2.1", detection=None):
        self.state = SessionState()
        self.ms = 0.0
        sound = {"input": {"turn_detection": detection, "transcription": {"model": "whisper-1"}}}
        self.server(type="session.created", session={"type": "realtime", "model": model, "audio": sound})

    def _add(self, direction, ms, event):
        self.ms += ms
        at = int(self.ms * 1e6)
        self.state.append(orjson.dumps(event), direction, mono_ns=at, wall_ns=at)
        return self

    def client(self, ms=1.0, **event):
        return self._add("client", ms, event)

    def server(self, ms=1.0, **event):
        return self._add("server", ms, event)

    def write(self, text, id="u1"):
        item = {
            "id": id,
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
        self.client(type="conversation.item.create", item=item)
        self.server(type="conversation.item.added", item=item, previous_item_id=None)
        return self.client(type="response.create")

    def speak(self, clip, transcript=None, failure=None, id="u1"):
        sound = b64encode(clip.to_pcm16(24_000)).decode()
        self.client(type="input_audio_buffer.append", audio=sound)
        self.server(type="input_audio_buffer.speech_started", item_id=id, audio_start_ms=0)
        end = int(clip.seconds * 1000)
        self.server(500, type="input_audio_buffer.speech_stopped", item_id=id, audio_end_ms=end)
        self.server(type="input_audio_buffer.committed", item_id=id, previous_item_id=None)
        kind = "conversation.item.input_audio_transcription"
        if transcript is not None:
            self.server(type=f"{kind}.completed", item_id=id, content_index=0, transcript=transcript)
        if failure is not None:
            self.server(type=f"{kind}.failed", item_id=id, content_index=0, error={"message": failure})
        return self

    def begin(self, id="r1"):
        return self.server(200, type="response.created", response={"id": id, "status": "in_progress"})

    def message(self, text="", clip=None, id="m1", response="r1"):
        item = {"id": id, "type": "message", "role": "assistant", "content": []}
        place = {"response_id": response, "item_id": id, "content_index": 0}
        self.server(type="response.output_item.added", response_id=response, item=item)
        kind = "output_text" if clip is None else "output_audio_transcript"
        self.server(150, type=f"response.{kind}.delta", delta=text, **place)
        if clip is not None:
            sound = b64encode(clip.to_pcm16(24_000)).decode()
            self.server(60, type="response.output_audio.delta", delta=sound, **place)
        return self

    def call(self, name, arguments, output=None, id="f1", response="r1"):
        item = {
            "id": id,
            "type": "function_call",
            "call_id": f"call_{id}",
            "name": name,
            "arguments": arguments,
        }
        self.server(type="response.output_item.added", response_id=response, item=item)
        self.server(type="response.output_item.done", response_id=response, item=item)
        if output is not None:
            item = {
                "id": f"o_{id}",
                "type": "function_call_output",
                "call_id": f"call_{id}",
                "output": output,
            }
            self.client(type="conversation.item.create", item=item)
            self.server(type="conversation.item.added", item=item)
        return self

    def done(self, status="completed", details=None, usage=USAGE, id="r1"):
        response = {"id": id, "status": status, "status_details": details, "usage": usage, "output": []}
        return self.server(300, type="response.done", response=response)

    def truncate(self, ms, id="m1"):
        return self.server(type="conversation.item.truncated", item_id=id, content_index=0, audio_end_ms=ms)

    def turn(self, number=0, **how):
        return TurnView(self.state, self.state.turns.all[number], **how)


def written(text="How deep is the sea?", model="gpt-realtime-2.1", usage=USAGE, clip=None, **how):
    script = Script(model).write(text).begin()
    return script.message("Deep.", clip).done(usage=usage).turn(**how)


def spoken(transcript="How deep is the sea?", failure=None, **how):
    script = Script(detection=DETECTION).speak(Clip.tone(300, 1.0), transcript, failure).begin()
    return script.message("Very deep.", Clip.tone(200, 2.0)).done().turn(**how)


class Page(HTMLParser):
    """What a browser sees: tags with their attributes, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open, self._mute = [], "", [], False
        self.feed(str(html))
        self.close()
        assert self.open == [], "an element is not closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page(turn):
    return Page(turn_html(turn))


def test_a_spoken_turn_has_two_waveforms_two_players_and_all_that_was_said():
    seen = page(spoken())
    assert [image["alt"] for image in seen.all("img")] == [
        "Waveform of 1.00 s of audio",
        "Waveform of 2.00 s of audio",
    ]
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in seen.all("img"))
    players = seen.all("audio")
    assert [player["aria-label"] for player in players] == [
        "Play what you said, 1.00 s",
        "Play the answer, 2.00 s",
    ]
    assert all(player["src"].startswith("data:audio/ogg;base64,T2dnUw") for player in players)
    assert "How deep is the sea?" in seen.text
    assert "Very deep." in seen.text
    assert seen.text.index("You") < seen.text.index("How deep") < seen.text.index("Assistant")


def test_the_foot_counts():
    seen = page(spoken())
    assert re.search(
        r"\d+ ms wait · 2.00 s of audio · 132 → 188 tokens, 64 cached · \$0\.\d{4} Details", seen.text
    )
    assert "first audio" in seen.text
    assert "132 tokens in (59 text, 73 audio; 64 cached), 188 out (41 text, 147 audio)" in seen.text
    cost = spoken().cost
    assert f"{cost}" in seen.text
    assert "gpt-realtime-2.1" in seen.text
    assert "from the end of speech" in seen.text
    assert "prices of" in seen.text


def test_a_written_turn_has_no_player():
    seen = page(written())
    assert seen.all("audio") == seen.all("img") == []
    assert "How deep is the sea?" in seen.text
    assert "first text" in seen.text


def test_a_failed_transcription_says_why():
    seen = page(spoken(None, "the audio is <unintelligible>"))
    assert "Transcription failed: the audio is <unintelligible>" in seen.text


def test_speech_without_transcript_says_so():
    assert "No transcript." in page(spoken(None)).text


def test_an_unknown_price_is_never_zero():
    seen = page(written(model="a-stranger"))
    assert "unpriced" in seen.text
    assert "$" not in seen.text
    seen = page(written(model="a-stranger", billed=False))
    assert "unpriced" in seen.text
    assert "Not billed." in seen.text


def test_a_tiny_price_is_not_shown_as_zero():
    usage = {"input_tokens": 1, "input_token_details": {"text_tokens": 1}}
    assert "under $0.0001" in page(written(usage=usage)).text


def test_a_transcription_without_a_price_is_named():
    script = Script(detection=DETECTION).speak(Clip.tone(300, 1.0))
    script.server(
        type="conversation.item.input_audio_transcription.completed",
        item_id="u1",
        content_index=0,
        transcript="Hello.",
        usage={"type": "tokens", "input_tokens": 10, "output_tokens": 2, "total_tokens": 12},
    )
    turn = script.begin().message("Yes.", Clip.tone(200, 1.0)).done().turn()
    assert turn.cost.excludes
    assert "transcription: no price known" in page(turn).text


def test_the_embedded_engine_bills_nothing_and_says_what_answered():
    seen = page(written(model="gpt-4o-realtime-preview", billed=False, engine="local"))
    assert "would cost $" in seen.text
    assert (
        "The embedded engine answered in place of gpt-4o-realtime-preview: a small stand-in model"
        in seen.text
    )
    assert "fluent but unreliable, not representative of the hosted model" in seen.text
    assert "Not billed." in seen.text
    fake = page(written(billed=False, engine="fake"))
    assert "No model answered" in fake.text
    assert labels.answer_note(written()) is None


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("local,llm=llama:/home/someone/secret/own.gguf", "own.gguf"),
        ("local,llm=llama:C:\\Users\\someone\\own.gguf,tts=hibari:heart", "own.gguf"),
        ("local,llm=chat:http://localhost:11434/v1#qwen3:4b", "qwen3:4b"),
        ("strangers", "The engine “strangers”"),
    ],
)
def test_a_model_of_ones_own_is_named_without_its_path(engine, name):
    seen = page(written(billed=False, engine=engine))
    assert f"{name} answered in place of gpt-realtime-2.1. Not billed." in seen.text
    assert "someone" not in turn_html(written(billed=False, engine=engine))


@pytest.mark.parametrize(
    ("how", "spoken_by", "typed_by"),
    [
        ({}, "gpt-realtime-2.1 + marin", "gpt-realtime-2.1"),
        ({"engine": "local", "billed": False}, "SmolLM2-135M + Hibari", "SmolLM2-135M"),
        ({"engine": "local,llm=llama:/home/me/own.gguf,tts=hibari:heart"}, "own.gguf + Hibari", "own.gguf"),
        ({"engine": "local,llm=chat:http://x/v1#qwen3:4b,tts=mine"}, "qwen3:4b + mine", "qwen3:4b"),
        ({"engine": "fake", "billed": False}, "fake engine", "fake engine"),
    ],
)
def test_the_head_names_who_really_answered(how, spoken_by, typed_by):
    for clip, name in ((Clip.tone(200, 1.0), spoken_by), (None, typed_by)):
        turn = written(clip=clip, **how)
        turn._state.session["audio"]["output"] = {"voice": "marin"}
        head = page(turn).text.partition("You")[0]
        assert head.startswith(f"Turn 1{name}")
        assert ("embedded" in head) == ("prices of gpt-realtime-2.1" in head) == ("engine" in how)
        assert "marin" not in head.replace(spoken_by, "")


def test_notes_on_what_answered_are_shown_once_a_session():
    turn = written(billed=False, engine="local")
    later = TurnView(turn._state, turn._fold, billed=False, engine="local")
    later._fold.number = 1
    assert "stand-in" not in turn_html(later)
    assert turns_html({3: later, 4: later}).count("stand-in") == 1


def test_after_a_sanitizer_the_text_and_the_pictures_remain():
    html = re.sub(r"<(style|script|svg|audio).*?</\1>", "", str(turn_html(spoken())), flags=re.S)
    seen = Page(html)
    assert len(seen.all("img")) == 2
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in seen.all("img"))
    for text in ("Turn 1", "gpt-realtime-2.1", "You", "How deep", "Assistant", "Very deep", "wait", "tokens"):
        assert text in seen.text


def test_a_card_is_small_without_its_audio():
    script = Script(detection=DETECTION).speak(Clip.tone(300, 9.0), "How deep? " * 20).begin()
    for number in range(3):
        script.call("look", '{"deep": true}', "x" * 200, id=f"f{number}")
    turn = script.message("Deep. " * 60, Clip.tone(200, 30.0)).done().truncate(9_000).turn()
    assert len(re.sub(r'src="data:audio[^"]*"', "", turn_html(turn))) < 30_000


def test_no_tokens_no_money():
    seen = page(written(usage=None))
    assert "tokens" not in seen.text
    assert "$" not in seen.text
    assert "unpriced" not in seen.text


def test_function_calls_show_arguments_and_output_in_the_order_of_the_answer():
    script = Script().write("Weather?").begin().message("Let me look.", id="m1")
    script.call("weather", '{"city": "Sète", "warm": true}', "18 °C").done()
    script.client(type="response.create").begin("r2")
    turn = script.message("It is mild.", id="m2", response="r2").done(id="r2").turn()
    text = page(turn).text
    order = ["Let me look.", "weather(city='Sète', warm=True)", "returned 18 °C", "It is mild."]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)


@pytest.mark.parametrize("arguments", ["[1, 2]", '{"city": ', '"x"'])
def test_arguments_that_are_no_object_are_shown_as_they_came(arguments):
    turn = Script().write("?").begin().call("weather", arguments).done().turn()
    seen = page(turn)
    assert f"weather({arguments})" in seen.text
    assert "Not answered." in seen.text


def test_a_tool_that_failed_says_so_in_words():
    script = Script().write("?").begin().call("divide", '{"by": 0}', f"{TOOL_ERROR}ZeroDivisionError: no")
    seen = page(script.done().turn())
    assert "The tool failed: ZeroDivisionError: no" in seen.text
    assert any("rtnb-bad" in attrs.get("class", "") for attrs in seen.all("span"))


def test_a_long_output_is_folded_away_and_whole():
    output = "a<b " * 500
    seen = page(Script().write("?").begin().call("read", "{}", output).done().turn())
    assert seen.all("details")
    assert output in seen.text


def test_an_interrupted_turn_says_how_much_was_played():
    script = Script(detection=DETECTION).speak(Clip.tone(300, 1.0), "Hi").begin()
    script.message("A long story.", Clip.tone(200, 3.0))
    turn = script.done("cancelled", {"reason": "turn_detected"}).truncate(1200).turn()
    seen = page(turn)
    assert "Interrupted: 1.20 s of 3.00 s played. The hatched part was generated but not played." in seen.text
    assert seen.all("img")[1]["alt"].endswith("of which the first 1.20 s was played")
    turn = Script().write("?").begin().message("Yes").done("cancelled", {"reason": "turn_detected"}).turn()
    assert "Interrupted: the user spoke." in page(turn).text


def ended(status, details=None):
    return page(Script().write("?").begin().message("So").done(status, details).turn()).text


def test_other_early_ends_say_why():
    assert "Cancelled: what had arrived" in ended("cancelled", {"reason": "client_cancelled"})
    limit = {"reason": "max_output_tokens"}
    assert "Incomplete: the answer reached the limit of output tokens." in ended("incomplete", limit)
    assert "Incomplete: something new." in ended("incomplete", {"reason": "something new"})
    assert "Incomplete: the service reported no reason." in ended("incomplete")
    error = {"error": {"type": "server_error", "message": "The <server> had an error."}}
    assert "Failed: The <server> had an error." in ended("failed", error)
    assert "Failed: the service reported no reason." in ended("failed")


def test_a_turn_cut_by_the_client_says_what_was_played():
    script = Script().write("?").begin().message("So it is", Clip.tone(200, 2.0))
    text = page(script.done("cancelled", {"reason": "client_cancelled"}).truncate(500).turn()).text
    assert "Of it, 0.50 s of 2.00 s played." in text


def test_a_turn_in_progress_shows_what_there_is():
    script = Script().write("Hello?")
    seen = page(script.turn())
    assert "In progress" in seen.text
    assert "Hello?" in seen.text
    seen = page(script.begin().message("Well", Clip.tone(200, 0.5)).call("look", "{}").turn())
    assert "Well" in seen.text
    assert len(seen.all("audio")) == 1
    assert "No output yet." in seen.text
    silent = Script(detection=DETECTION)
    silent.server(type="input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    assert "Nothing yet." in page(silent.turn()).text


def test_a_turn_that_answered_nothing_says_so():
    assert "Nothing was answered." in page(Script().write("?").begin().done().turn()).text


def test_sound_that_is_too_long_says_how_to_keep_it(monkeypatch):
    monkeypatch.setattr(player_module, "MAX_INLINE_SECONDS", 1.5)
    seen = page(spoken())
    assert len(seen.all("img")) == 2
    assert len(seen.all("audio")) == 1
    assert 'turn.audio.write("answer.ogg")' in seen.text


def test_many_turns_keep_sound_up_to_a_total(monkeypatch):
    monkeypatch.setattr(card_module, "MAX_TOTAL_SECONDS", 4.5)
    html = turns_html({4: spoken(), 5: spoken(), 7: spoken()})  # each 1 s and 2 s
    seen = Page(html)
    assert html.count("<style>") == 1
    assert [player["aria-label"] for player in seen.all("audio")] == [
        "Play what you said, 1.00 s",
        "Play the answer, 2.00 s",
        "Play what you said, 1.00 s",
    ]
    assert len(seen.all("img")) == 3
    assert seen.text.count("Very deep.") == 3
    assert seen.text.count("2.00 s of audio is not kept") == 2
    assert "the notebook keeps 4.50 s" in seen.text
    for said in ('5].audio.write("answer-5', '7].input.audio.write("question-7', '7].audio.write("answer-7'):
        assert f's.turns[{said}.ogg")' in seen.text


ATTACKS = st.sampled_from(
    ["<script>alert(1)</script>", "</style><b>", "\" onerror='x", "&lt;", "]]>", "<!--", "{}", "\\"]
)
TEXTS = st.lists(ATTACKS | st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), max_size=4)


@settings(deadline=None, max_examples=60)
@given(TEXTS.map("".join), TEXTS.map("".join), TEXTS.map("".join))
def test_what_others_wrote_appears_only_as_text(asked, said, output):
    script = Script(model=output or "m").write(asked).begin().message(said)
    script.call(said or "f", asked, output).server(
        type="conversation.item.input_audio_transcription.failed",
        item_id="u1",
        content_index=0,
        error={"message": output},
    )
    turn = script.done("failed", {"error": {"message": said}}).turn()
    html = turn_html(turn)
    plain = page(Script().write("x").begin().message("y").call("f", "z", "o").done("failed").turn())
    seen = Page(html)
    allowed = {tag for tag, _ in plain.tags} | {"details", "summary"}
    assert {tag for tag, _ in seen.tags} <= allowed
    assert not any(name.startswith("on") for _, attrs in seen.tags for name in attrs)
    for text in (asked, said, output):
        assert neutral(text).strip() in seen.text


def test_the_bundle_of_a_turn_holds_the_card():
    turn = written()
    bundle = turn._repr_mimebundle_()
    assert bundle["text/html"] == turn_html(turn)
    assert "text/plain" in bundle


def test_nothing_in_the_style_reaches_outside_the_card():
    html = str(turn_html(written()))
    rules = html[html.index("<style>") + 7 : html.index("</style>")]
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"@container[^{]*\{", "", rules)):
        assert all(".rtnb" in selector for selector in selectors.split(","))
        assert body
    assert "<" not in unescape(rules)


def test_audio_says_where_it_comes_from():
    tone = Clip.tone(300, 0.5)
    turn = written(text="How deep?", clip=tone)
    info = turn.audio_so_far.info
    assert (info["source"], info["model"], info["prompt"]) == ("assistant", turn.model, "How deep?")
    assert info["recorded"].startswith("1970-01-01T00:00:0")
    assert "engine" not in info
    assert "How deep?" in turn.audio_so_far._repr_html_()
    asked = spoken().input.audio.info
    assert (asked["source"], asked["text"]) == ("user", "How deep is the sea?")
    embedded = written(clip=tone, engine="local,llm=/home/me/x.gguf").audio_so_far.info
    assert embedded["engine"] == "local"
    assert "model" not in embedded
    assert "voice" not in embedded
