"""Keys in frames: all of them found, none of the rest, and nothing moved."""

import orjson
import pytest
from frames import full
from hypothesis import given
from hypothesis import strategies as st

from rtnb.redaction import MARK, plain, redact, secrets

PLANTED = (
    "sk-proj-abcdEFGH1234567890abcdEFGH1234",
    "ek_68af296e8e408191a1120ab6383263c2",
    "Bearer 0123456789abcdef0123",
    "wss://host/v1/realtime?model=x&api-key=0123456789abcdef",
    "wss://host/openai?api_key=0123456789abcdef&b=1",
    "https://host/?key=AbCdEf0123456789",
    "https://host/?access_token=AbCdEf0123456789",
    "https://user:hunter2hunter2@host/path",
    '{"api-key": "0123456789abcdef0123456789abcdef"}',
    '{"client_secret":{"expires_at":1,"value":"zz_0123456789abcdef"}}',
    "api_key='0123456789abcdef'",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4",
    '{"type":"mcp","server_label":"x","authorization":"ya29.a0AfH6SMBx7Kq2LmN9pQ"}',
    '{"headers":{"Authorization":"Basic dXNlcjpwYXNzd29yZDEyMw=="}}',
    '{"headers":{"Authorization": "Bearer plainwordsforakey"}}',
    "Authorization: Basic dXNlcjpwYXNzd29yZDEyMw==",
    '{"api_key":"plainwordsforakey"}',
    '{"apiKey":"a1b2c3d4e5f6"}',
    '{"secret_key":"a1b2c3d4e5f6"}',
    '{"private_key": "plain/words+for=a&key"}',
    '{"client_secret":"plainwordsforakey"}',
    '{"access_token":"plainwordsforakey"}',
    '{"refreshToken":"abc123def456ghi789"}',
    '{"password":"correcthorsebattery"}',
    "AZURE_OPENAI_API_KEY=0123456789abcdef0123456789abcdef",
    'export OPENAI_API_KEY="abcd1234abcd"',
    "MY_SECRET=abcd1234abcd",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END RSA PRIVATE KEY-----",
)


@pytest.mark.parametrize("text", PLANTED)
def test_every_shape_is_found_in_text_and_in_json(text):
    for data in (text.encode(), orjson.dumps({"type": "error", "error": {"message": text}})):
        clean, spans = redact(data)
        assert spans, data
        assert len(clean) == len(data)
        assert MARK * 8 in clean
        assert secrets(clean) == []
    assert isinstance(orjson.loads(clean), dict)


def test_what_is_no_key_stays():
    for frame, _, _ in full().frames:
        assert redact(frame) == (frame, [])
    for text in (
        b"the key to the house",
        b"ask-me-anything-you-want",
        b"a token of love",
        b"the secret: patience",
        b"bearer certificates",
        b"Authorization: Bearer authentication is required",
        b"authorization: basic training",
        b"invalid_api_key: Incorrect API key provided",
        b'{"password": "The password of the user.", "required": ["api_key", "password"]}',
        b'{"api_key": {"type": "string"}, "private_key": null, "secret": false, "code": "invalid_api_key"}',
        b'{"token":"extraordinary1","logprob":-0.1,"bytes":[101]}',
        b'{"max_tokens":100000000,"input_token_details":{"text_tokens":123456789,"audio_tokens":12}}',
        b"max_tokens=100000000 tokens: 123456789, eos_token: <|endoftext|>",
        b"the desk-lamp-of-the-room-1234567",
    ):
        assert redact(text)[0] == text


def test_a_known_key_is_found_whatever_it_looks_like():
    clean, spans = redact(b"it is plain-words-key, plain-words-key", ["plain-words-key", "", "short"])
    assert clean == b"it is " + MARK * 15 + b", " + MARK * 15
    assert len(spans) == 2


def test_what_stands_around_a_private_key_stays():
    key = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0\\n-----END RSA PRIVATE KEY-----"
    data = f'{{"output": "It is {key}, and that is all of it.", "more": "words"}}'.encode()
    clean, [(start, end)] = redact(data)
    assert (clean[:start], clean[end:]) == (data[:start], data[end:])
    assert clean[start - 5 : end + 8] == b"-----" + MARK * (end - start) + b"-----END"


@given(st.binary(max_size=200), st.sampled_from(PLANTED), st.binary(max_size=200))
def test_length_is_kept_and_once_is_enough(before, key, after):
    clean, _ = redact(before + b" " + key.encode() + b" " + after)
    assert len(clean) == len(before) + len(key.encode()) + len(after) + 2
    assert redact(clean)[0] == clean


@pytest.mark.parametrize("unit", [b"secret=", b"password:", b"eyJ----------", b"token=", b'"api_key":"'])
def test_no_frame_takes_long_to_look_through(unit):
    """A quadratic search of this took a minute and more."""
    assert isinstance(secrets(unit * (400_000 // len(unit))), list)


def test_a_known_key_is_found_as_addresses_and_json_spell_it():
    key = "ab+cd/ef gh=="
    for spelt in (key, "ab%2Bcd%2Fef%20gh%3D%3D", "ab%2Bcd%2Fef+gh%3D%3D", r"ab+cd\/ef gh=="):
        data = f'{{"message": "tried {spelt} in vain"}}'.encode()
        assert redact(data, [key])[0] == data.replace(spelt.encode(), b"*" * len(spelt))


@pytest.mark.parametrize("name", ["invalid_token", "valid_token", "paid_token"])
def test_words_that_only_end_like_a_name_of_keys(name):
    data = f'{{"{name}":"expired-session"}}'.encode()
    assert redact(data)[0] == data
    data = b'{"id_token":"expired-session"}'
    assert redact(data)[0] != data


@pytest.mark.parametrize("code", [0, 7, 0x1B, 0x0D, 0x7F, 0x80, 0x9F, 0x202A, 0x202E, 0x2066, 0x2069])
def test_codes_that_a_terminal_obeys_are_replaced(code):
    assert plain(f"a{chr(code)}b") == "a\ufffdb"


def test_text_in_any_script_stays():
    text = "Ω\tשלום\n‏مرحبا‏\u200d"
    assert plain(text) == text
    assert plain("two\r\nlines") == "two\nlines"
