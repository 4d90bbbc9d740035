"""The usage card and chart: static, escaped, and in colours that are seen in both themes."""

import re
import xml.etree.ElementTree as ET

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.usages import talk, wire_usage

from rtnb.analysis.gauges import Gauge, Limit
from rtnb.analysis.usage import UsageView
from rtnb.protocol.state import SessionState
from rtnb.protocol.usage import Usage
from rtnb.render import usage_chart
from rtnb.render.html import read_static
from rtnb.render.palette import DARK, INK, LIGHT, SHADES
from rtnb.render.usage_card import usage_html


def html_of(thing):
    return thing._repr_mimebundle_()["text/html"]


def test_money_is_the_first_column_so_that_no_narrow_page_hides_it():
    html = html_of(UsageView(talk(wire_usage()).state))
    assert re.search(r'class="rtnb-first" scope="col">turn</th><th scope="col">cost</th>', html)
    assert html.index('rtnb-meters">') < html.index('class="rtnb-scrolled"')


def test_the_html_is_static_and_escapes_what_a_server_named():
    wire = talk(wire_usage())
    wire.server("session.updated", session={"model": "<script>alert(1)</script>"})
    wire.server(
        "rate_limits.updated",
        rate_limits=[{"name": "<img src=x onerror=alert(1)>", "limit": 5, "remaining": 2}],
    )
    html = html_of(UsageView(wire.state))
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;" in html
    assert re.findall(r'src="(?!data:image/svg)', html) == []
    assert usage_html(UsageView(wire.state)) == html


def test_a_status_of_the_server_is_not_html():
    wire = talk(None)
    wire.begin("resp_x", "item_x")
    wire.end("resp_x", status="<b>odd</b>")
    assert "<b>odd" not in html_of(UsageView(wire.state))


def test_a_gauge_or_a_limit_is_a_card_of_its_own():
    assert "50 of 100 tokens (50%)" in html_of(Gauge("<b>context", 50, 100))
    assert "&lt;b&gt;context" in html_of(Gauge("<b>context", 50, 100))
    assert "rate limit, tokens" in html_of(Limit("tokens", 10, 5, None, None))
    assert 'alt="unknown"' in html_of(Gauge("context", None, 100))


def test_a_chart_of_any_session(tmp_path):
    for view in (
        UsageView(SessionState()),
        UsageView(talk(None).state),
        UsageView(talk(wire_usage(hit_audio=5), None, wire_usage(hit_text=3)).state, billed=False),
        UsageView(talk(*[wire_usage()] * 450).state),
    ):
        chart = view.plot()
        ET.fromstring(chart.svg)
        assert chart.svg.startswith("<svg")
        assert chart.svg is chart.svg
        assert "data:image/svg+xml" in html_of(chart)
        assert "Usage over" in repr(chart) or not view.turns
        assert "nan" not in chart.svg
        assert chart.save(tmp_path / "usage.svg").read_text("utf-8") == chart.svg
    assert "unpriced" in UsageView(talk(None).state).plot().svg
    assert repr(UsageView(SessionState()).plot()) == "<UsageChart: No turns yet.>"


def test_a_chart_names_no_model_as_markup():
    wire = talk(wire_usage())
    wire.server("session.updated", session={"model": "<script>"})
    ET.fromstring(UsageView(wire.state).plot().svg)


def contrast(one, other):
    def luminance(colour):
        channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_colours_stand_out_on_light_and_on_dark():
    for colour in {shade.colour for shade in SHADES} | {usage_chart._COST, usage_chart._CONTEXT}:
        assert contrast(colour, "#ffffff") >= 3, colour
        assert contrast(colour, "#111111") >= 3, colour


def lit(colour, brightness):
    channels = (min(round(int(colour[at : at + 2], 16) * brightness), 255) for at in (1, 3, 5))
    return "#{:02x}{:02x}{:02x}".format(*channels)


def test_letters_in_pictures_are_read_in_both_themes():
    brightness = re.findall(r"filter: brightness\(([\d.]+)\)", read_static("picture.css"))
    assert [*map(float, brightness)] == [LIGHT, DARK]
    assert min(contrast(INK, "#ffffff"), contrast(INK, "#111111")) > 4.2
    assert contrast(lit(INK, LIGHT), "#ffffff") >= 4.5
    for paper in ("#111111", "#212121"):
        assert contrast(lit(INK, DARK), paper) >= 4.5
        assert all(contrast(lit(shade.colour, DARK), paper) >= 3 for shade in SHADES)


@given(st.builds(Usage, *[st.integers(0, 10**6)] * 8))
def test_the_shades_are_all_of_the_tokens(usage):
    counted = sum(shade.count(usage) for shade in SHADES)
    assert counted == usage.total_tokens
    assert all(shade.count(usage) >= 0 for shade in SHADES)
