import pytest

from rtnb.protocol.session_config import Response
from rtnb.structs import FieldError, check


@pytest.mark.parametrize(
    ("given", "reason", "path", "expected"),
    [
        ({"metadata": {"5": 5}}, "type", "response.metadata.5", "a string"),
        ({"metadata": {"k" * 65: ""}}, "length", "response.metadata", "a string of at most 64 characters"),
        ({"metadata": {5: ""}}, "key", "response.metadata", "strings as names"),
        ({"tools": [{"type": "mcp"}]}, "missing", "response.tools[0].server_label", "an object"),
        (
            {"max_output_tokens": "x"},
            "value",
            "response.max_output_tokens",
            "an integer of at least 1 or 'inf'",
        ),
        ({"x` - at `$.audio": 1}, "unknown", "response.audio.x", "an object"),
        ({"prompt": {"id": "a", "versions": 1}}, "unknown", "response.prompt.versions", "an object"),
    ],
)
def test_what_an_error_says(given, reason, path, expected):
    with pytest.raises(FieldError) as raised:
        check(Response, given, "response")
    assert (raised.value.reason, raised.value.path, raised.value.expected) == (reason, path, expected)
