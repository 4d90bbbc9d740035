"""What all cards share: style sheets from files, design tokens, and text that changes nothing around it."""

import re

import pytest
from htpy import p

from rtnb.render.html import joined, line_html, markup, read_static, stylesheet

SHEETS = {
    "a turn": ("turn_card.css", "player.css"),
    "a session": ("turn_card.css", "table.css", "overview.css"),
    "events": ("event_table.css",),
    "checks": ("checks.css",),
    "a line": ("line.css",),
}
TOKENS = read_static("tokens.css")
BLACK, WHITE, NIGHT = (0, 0, 0), (255, 255, 255), (18, 18, 18)


def luminance(colour):
    linear = [c / 3294.6 if c <= 10.3 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    bright, dark = sorted([luminance(one) + 0.05, luminance(other) + 0.05], reverse=True)
    return bright / dark


def colour(text, ink, paper):
    """Return the colour of a token's fallback where the system's text and background are these."""
    named = {"CanvasText": ink, "Canvas": paper}
    if text in named:
        return named[text]
    if text.startswith("#"):
        return tuple(int(text[k : k + 2], 16) for k in (1, 3, 5))
    first, share, second = re.fullmatch(r"color-mix\(in srgb, (\S+) (\d+)%, (\w+)\)", text).groups()
    one, other, part = colour(first, ink, paper), named[second], int(share) / 100
    return tuple(part * a + (1 - part) * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("ink", "paper"), [(BLACK, WHITE), (WHITE, NIGHT)], ids=["light", "dark"])
@pytest.mark.parametrize(
    "name", ["fg", "dim", "accent", "good", "bad", "json-string", "json-number", "json-keyword"]
)
def test_text_is_readable_where_there_is_no_theme(name, ink, paper):
    fallback = re.search(rf"--rtnb-{name}: var\(--jp-[\w-]+, (.+)\);", TOKENS)[1]
    assert contrast(colour(fallback, ink, paper), paper) >= 4.5


@pytest.mark.parametrize("names", SHEETS.values(), ids=SHEETS)
def test_a_style_sheet_is_small_and_whole(names):
    style = stylesheet(*names)
    assert len(style) < 7_000
    assert "\n" not in style
    assert "/*" not in style
    assert style.count("{") == style.count("}")
    used = set(re.findall(r"var\((--rtnb-[\w-]+)", style))
    defined = set(re.findall(r"(--rtnb-[\w-]+):", style))
    assert used == defined


def test_every_sheet_of_a_card_uses_only_defined_tokens():
    known = set(re.findall(r"(--rtnb-[\w-]+):", TOKENS))
    for name in {name for names in SHEETS.values() for name in names} | {"report.css"}:
        sheet = read_static(name)
        own = set(re.findall(r"(--rtnb-[\w-]+):", sheet))
        assert set(re.findall(r"var\((--rtnb-[\w-]+)", sheet)) <= known | own, name


def test_texts_are_escaped_and_elements_are_not():
    assert markup(["<b>", p["<i>"]]) == "&lt;b&gt;<p>&lt;i&gt;</p>"
    assert markup(joined(["a", p["b"], "c"])) == "a · <p>b</p> · c"
    assert "&lt;b&gt;" in line_html("<b>")
