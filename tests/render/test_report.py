"""The report: one page that holds everything, asks nothing of anybody, and tells no key."""

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser

import orjson
import pytest
from frames import MS, WALL, Wire, b64, full, tone, usage

import rtnb
from rtnb.analysis.provenance import Provenance
from rtnb.analysis.session import Snapshot
from rtnb.cli import main
from rtnb.errors import ArgumentError, RecordingError
from rtnb.protocol.state import SessionState
from rtnb.recordings import save
from rtnb.recordings.manifest import manifest
from rtnb.recordings.writer import pieces
from rtnb.render.overview import provenance_foot, provenance_table
from rtnb.render.report import POLICY, SCRIPT, write_report

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """What a page is made of: its elements, which must be closed in order, and its text."""

    VOID = frozenset({"meta", "img", "br", "path", "rect", "link", "input"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.sources, self.text = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def said(self):
        return " ".join(self.text)


def saved(path, wire, **more):
    about = {"endpoint": "a test", "billed": False, **more}
    save(pieces(wire.state.log), manifest(wire.state, **about), path)
    return rtnb.open(path)


@pytest.fixture
def recording(tmp_path):
    return saved(tmp_path / "talk.rtnb", full())


def report(recording, tmp_path, **options):
    out = recording.report(tmp_path / "out.html", **options)
    text = out.read_text("utf-8")
    return text, Page(text)


def test_a_page_holds_everything(recording, tmp_path):
    text, page = report(recording, tmp_path, title="A short talk")
    assert page.named("h1")
    assert "<title>A short talk</title>" in text
    for word in (
        "Good day.",
        "How is the weather?",
        "It is sunny.",
        "weather",
        "0.30 s of 0.50 s played",
        "Be short.",
        "a test",
        "gpt-4o-realtime-preview",
        "response.output_audio.delta",
        "p95",
        "rtnb recording, version 1",
        "Tokens and money",
        "All audio is in this page",
    ):
        assert word in page.said or word in text, word
    digest = hashlib.sha256(recording.path.read_bytes()).hexdigest()
    assert digest in text
    assert recording.frames_sha256 in text
    assert text.count("<audio") == 3  # two of yours, one answer
    assert {f"turn-{turn.number + 1}" for turn in recording.turns} <= set(page.ids)


def test_nothing_in_it_leads_outside(recording, tmp_path):
    text, page = report(recording, tmp_path)
    assert all(source.startswith("data:") for source in page.sources)
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    own = r"url\(\"\$\{image\.src\}\"\)"  # of the player: the picture in the page
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", re.sub(own, "", text))
    assert not page.named("link")
    assert not page.named("iframe")
    policy = next(meta for meta in page.named("meta") if meta.get("http-equiv"))
    assert policy["content"] == POLICY
    assert "default-src 'none'" in POLICY
    assert "connect-src" not in POLICY
    assert base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode() in POLICY
    assert len(page.named("script")) == 1
    assert f"<script>{SCRIPT}</script>" in text
    assert not [name for _, given in page.tags for name in given if name.startswith("on")]


def test_who_cannot_see_finds_the_way(recording, tmp_path):
    _, page = report(recording, tmp_path)
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.named(landmark)) == 1
    assert [given["lang"] for given in page.named("html")] == ["en"]
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels) if before)
    assert all(given.get("alt") is not None for given in page.named("img"))
    assert all(given.get("aria-label") for given in page.named("audio"))
    assert all(given.get("aria-label") for given in page.named("svg"))
    assert all(given.get("aria-labelledby") in page.ids for given in page.named("section"))


def test_sound_can_be_left_out_or_limited(recording, tmp_path):
    text, _ = report(recording, tmp_path, audio=False)
    assert "<audio" not in text
    assert "Audio is not in this page, as requested" in text
    assert "This page holds no audio" in text
    small, _ = report(recording, tmp_path, max_mb=0.004)
    assert 0 < small.count("<audio") < 3
    assert "The recording has all of it." in small
    assert "limit of size" in small
    none, _ = report(recording, tmp_path, max_mb=0)
    assert "<audio" not in none
    for bad in (-1, float("nan"), float("inf"), "lots", True):
        with pytest.raises(ArgumentError, match="max_mb"):
            recording.report(tmp_path / "x.html", max_mb=bad)
    with pytest.raises(RecordingError, match="cannot be written"):
        recording.report(tmp_path / "no" / "x.html")


def test_what_looks_like_html_is_text(tmp_path):
    wire = Wire()
    wire.session()
    wire.server(
        "session.updated",
        session={
            "type": "realtime",
            "model": EVIL,
            "instructions": EVIL,
            "tools": [{"type": "function", "name": EVIL, "description": EVIL}],
            "audio": {"output": {"voice": EVIL}, "input": {"turn_detection": {"type": EVIL}}},
        },
    )
    wire.text("u", EVIL)
    wire.ask()
    wire.begin()
    wire.delta("output_text", EVIL)
    wire.end(status="failed", details={"type": "failed", "error": {"message": EVIL, "code": EVIL}})
    wire.call("resp_2", "item_f", name=EVIL, arguments=orjson.dumps({EVIL: EVIL}).decode())
    wire.server(EVIL, item_id=EVIL)
    recording = saved(tmp_path / "evil.rtnb", wire, endpoint=EVIL, engine=f"local,llm={EVIL}")
    text, page = report(recording, tmp_path, title=EVIL)
    assert "<img src=x" not in text
    assert len(page.named("script")) == 1
    assert page.said.count("alert(1)") > 5
    assert not [image for image in page.named("img") if image["src"] == "x"]


KEYS = {
    "known": "sk-proj-abcdefghijklmnop1234567890",
    "ephemeral": "ek_abcdef0123456789abcdef0123456789",
    "bearer": "Tk9ULUEtUkVBTC1LRVktMTIz9",
    "url": "hunter2secret99",
    "query": "Zm9vYmFyYmF6cXV4MTIzNA9",
    "azure": "0123456789abcdef0123456789abcdef",
    "environment": "an-odd-key-of-mine-42",
}


def planted():
    wire = Wire()
    session = {
        "type": "realtime",
        "model": "gpt-4o-realtime-preview",
        "instructions": f"Use {KEYS['known']} and Authorization: Bearer {KEYS['bearer']}",
        "client_secret": {"value": KEYS["ephemeral"], "expires_at": 1},
        "audio": {},
    }
    wire.server("session.created", session=session)
    wire.text("u", f"see wss://user:{KEYS['url']}@host/v1?api-key={KEYS['query']} and {KEYS['environment']}")
    wire.ask()
    wire.begin()
    wire.delta("output_text", f"Your key is {KEYS['known']}")
    wire.end(usage=usage(3, 4))
    wire.call("resp_2", "item_f", arguments=orjson.dumps({"api_key": KEYS["azure"]}).decode())
    wire.server(
        "error",
        error={"type": "e", "code": None, "message": f"Incorrect API key: {KEYS['known']}", "event_id": None},
    )
    return wire


@pytest.mark.parametrize("through", ["recording", "lines"])
def test_no_key_is_in_it(tmp_path, monkeypatch, through):
    monkeypatch.setenv("OPENAI_API_KEY", KEYS["environment"])
    wire = planted()
    if through == "recording":
        recording = saved(tmp_path / "keys.rtnb", wire)
    else:  # JSON Lines are written by anybody, keys and all
        rows = [
            {"t": at / 1000, "wall": 1e9 + at / 1000, "direction": direction, "event": orjson.loads(frame)}
            for frame, direction, at in wire.frames
        ]
        path = tmp_path / "keys.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        recording = rtnb.open(path)
    text, _ = report(recording, tmp_path)
    everything = text + "".join(
        base64.b64decode(found).decode("utf-8", "replace")
        for found in re.findall(r"svg\+xml;base64,([^\"]+)", text)
    )
    for name, key in KEYS.items():
        assert key not in everything, name
    assert "Your key is *****" in text


def test_a_session_reports_what_it_would_save(tmp_path, server_home):
    with rtnb.connect(engine="fake") as s:
        s.send("hello").wait(60)
        s.send(rtnb.Clip.tone(300, 1.0)).wait(60)
        assert "hello" in s.report(tmp_path / "early.html").read_text("utf-8")
    page = s.report(tmp_path / "live.html", title="Live")  # nothing comes any more
    path = s.save(tmp_path / "same.rtnb")
    text = page.read_text("utf-8")
    Page(text)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    assert "a session that was not saved to a file" in text
    assert "No model answered" in text
    assert "not billed" in text
    assert "<audio" in text


def test_of_nothing_and_of_what_was_cut(tmp_path):
    empty = Wire()
    text, _ = report(saved(tmp_path / "empty.rtnb", empty), tmp_path)
    for word in (
        "The session has no turns.",
        "Nothing was said",
        "never reported its configuration",
        "No turns yet.",
    ):
        assert word in text
    whole = saved(tmp_path / "whole.rtnb", full()).path.read_bytes()
    (tmp_path / "cut.rtnb").write_bytes(whole[:-40])
    cut = rtnb.open(tmp_path / "cut.rtnb")
    text, page = report(cut, tmp_path)
    assert "was cut" in page.said
    assert dict(cut.provenance.facts)["SHA-256 of all frames"] == "unknown"
    gone = rtnb.open(cut.path)
    cut.path.unlink()
    assert gone.provenance.sha256 is None


def test_progress_sees_each_turn(recording, tmp_path):
    seen = []

    def progress(turns):
        for turn in turns:
            seen.append(turn.number)
            yield turn

    write_report(recording, tmp_path / "x.html", origin=recording.provenance, progress=progress)
    assert seen == [turn.number for turn in recording.turns]


def test_a_saved_recording_says_where_it_comes_from(recording):
    page = recording._repr_mimebundle_()["text/html"]
    digest = hashlib.sha256(recording.path.read_bytes()).hexdigest()
    assert digest[:12] in page
    assert "prices of" in page


def test_provenance_of_nothing_is_unknown():
    facts = dict(Provenance().facts)
    for name in ("model", "written by", "libraries", "protocol", "format", "SHA-256 of the file", "audio"):
        assert facts[name] == "unknown"
    assert facts["prices"] == "unknown: unpriced"
    assert Provenance().engine_note is None
    assert str(provenance_foot(Provenance())).startswith('<p class="rtnb-foot">')


def test_provenance_in_words():
    head = {
        "created": "2026-01-02T03:04:05.678+00:00",
        "engine": "local,llm=/home/me/secret-project/model.gguf",
        "model": "m",
        "end": {"code": 1006, "why": "the line went dead"},
        "open_turns": 1,
        "redacted": 2,
        "scrubbed": ["voice of user"],
        "billed": False,
    }
    made = Provenance(head, "a.rtnb", "ab" * 32, None, None)
    facts = dict(made.facts)
    assert facts["recorded"] == "2026-01-02 03:04:05 UTC"
    assert (
        facts["end"] == "the connection was lost: the line went dead (close code 1006); 1 turn not finished"
    )
    assert facts["scrubbed"] == "voice of user"
    assert facts["keys redacted"] == "2"
    foot = str(provenance_foot(made))
    assert "secret-project" not in str(provenance_table(made)) + foot
    assert "2 keys redacted" in foot
    assert "model.gguf answered in place of m" in made.engine_note


def test_a_log_that_makes_no_sense_is_reported_too(tmp_path):
    record = SessionState()
    for k, frame in enumerate(
        [b"no json", b"[]", b'{"type":5}', orjson.dumps({"type": "x", "audio": b64(tone(9))})]
    ):
        record.append(frame, "server", mono_ns=k * MS, wall_ns=WALL)
    path = tmp_path / "odd.rtnb"
    save(pieces(record.log), {"format": 1, "created": 5, "libraries": [], "end": 3}, path)
    text, _ = report(rtnb.open(path), tmp_path)
    assert "no json" in text


@pytest.mark.parametrize("odd", [5, "x", True, ["y"], {"a": 1}, None])
def test_a_manifest_of_odd_kinds_opens_and_is_shown(tmp_path, odd):
    fields = (
        "scrubbed",
        "end",
        "libraries",
        "created",
        "endpoint",
        "engine",
        "billed",
        "open_turns",
        "prices",
    )
    save(pieces(full().state.log), {"format": 1, **dict.fromkeys(fields, odd)}, tmp_path / "odd.rtnb")
    recording = rtnb.open(tmp_path / "odd.rtnb")
    assert recording._repr_mimebundle_()
    assert str(provenance_table(recording.provenance))
    assert main(["info", str(recording.path)]) == 0


def test_responses_of_unknown_usage_are_counted_beside_the_sums(tmp_path):
    untold = {"model": "gpt-realtime", "rtnb": "1"}
    for usages, tokens, note in (((None,), "unknown", ""), ((usage(12, 4), None), "16", "of 2")):
        wire = Wire()
        wire.session()
        for number, told in enumerate(usages):
            wire.ask()
            wire.begin(f"resp_{number}", f"item_{number}")
            wire.end(f"resp_{number}", usage=told)
        save(pieces(wire.state.log), untold, tmp_path / "x.rtnb")
        page = rtnb.open(tmp_path / "x.rtnb").report(tmp_path / "x.html").read_text()
        figures = re.search(r'<ul class="figures".*?</ul>', page, re.DOTALL)[0]
        assert f"<b>{tokens}</b><span>tokens" in figures
        assert ("responses unknown" in figures) is bool(note)
        assert "$" not in figures or tokens != "unknown"


@pytest.mark.parametrize("odd", [True, 5, "text", {"a": 1}, [None, {}], None])
def test_a_configuration_of_any_shape_is_shown(tmp_path, odd):
    wire = full()
    names = ("output_modalities", "tools", "audio", "tool_choice", "instructions", "truncation")
    wire.server("session.updated", session=dict.fromkeys(names, odd) | {"type": "realtime"})
    save(pieces(wire.state.log), manifest(wire.state), tmp_path / "x.rtnb")
    page = rtnb.open(tmp_path / "x.rtnb").report(tmp_path / "x.html").read_text("utf-8")
    assert "answers in" in Page(page).text


def test_a_report_of_a_session_needs_no_file_and_is_of_one_moment(tmp_path, monkeypatch, server_home):
    monkeypatch.setattr("tempfile.mkdtemp", lambda *args, **options: pytest.fail("a temporary folder"))
    with rtnb.connect(engine="fake") as s:
        s.send("hello").wait(60)
        shot = Snapshot(s)
        count = len(shot.log)
        s.send("again").wait(60)
        assert len(shot.log) == len(shot.state.log) == count < len(s.log)
        assert [turn.text_so_far for turn in shot.turns] == [s.turns[0].text]
        assert shot.usage.total_tokens == s.turns[0].usage.total_tokens
        assert shot.closed
        assert (shot.model, shot.endpoint, shot.engine, shot.billed) == (
            s.model,
            s.endpoint,
            s.engine,
            s.billed,
        )
        page = s.report(tmp_path / "live.html")
    assert [path.name for path in tmp_path.iterdir()] == ["live.html"]
    assert "again" in page.read_text("utf-8")


def test_text_cannot_stand_in_for_audio(tmp_path):
    wire = Wire()
    wire.session()
    wire.text("u", "\0000\0 rtnb-0-")
    wire.ask()
    wire.begin()
    wire.delta("output_audio", tone(200))
    wire.end()
    text, _ = report(saved(tmp_path / "odd.rtnb", wire), tmp_path)
    assert text.count("data:audio/ogg") == 1
