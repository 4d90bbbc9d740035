"""The one style sheet of all static cards.

Colours are Jupyter's own where it has them, else mid-tones that stand out on white and on black. Everything
reads well without it too: a notebook that is not trusted loses style sheets, and with them only the looks.
"""

from __future__ import annotations

__all__ = ["DARK", "INK", "LIGHT", "SCROLLED", "STYLE", "TABLES", "sheet"]


def sheet(rules: str) -> str:
    """Return rules as a ``<style>`` element on one line."""
    return f"<style>{''.join(rules.splitlines())}</style>"


INK = "#747a83"
"""Letters of a picture: as well read on white as on black, since an image cannot see what it stands on."""

LIGHT, DARK = 0.9, 1.25
"""How bright its theme makes a picture, so that its letters are read well: 4.5:1 and more."""

_PAPER = "var(--jp-layout-color1,Canvas)"

SCROLLED = (
    "overflow-x:auto;overflow-y:hidden;background:"
    f"linear-gradient(90deg,{_PAPER} 40%,transparent) 0 0/40px 100% no-repeat local,"
    f"linear-gradient(270deg,{_PAPER} 40%,transparent) 100% 0/40px 100% no-repeat local,"
    "linear-gradient(90deg,rgba(128,128,128,.55),transparent) 0 0/14px 100% no-repeat scroll,"
    "linear-gradient(270deg,rgba(128,128,128,.55),transparent) 100% 0/14px 100% no-repeat scroll;"
)
"""The declarations of what scrolls sideways on a card's paper: a shadow at each side where there is more."""


def _drawn(scope: str) -> str:
    """Return the rules that suit the pictures in ``scope`` to a theme."""
    return (
        f"[data-jp-theme-light=true] {scope} .rtnb-drawn{{filter:brightness({LIGHT})}}"
        f"[data-jp-theme-light=false] {scope} .rtnb-drawn{{filter:brightness({DARK})}}"
    )


_RULES = """
.rtnb-turn{--rtnb-line:var(--jp-border-color2,rgba(128,128,128,.4));
--rtnb-soft:var(--jp-ui-font-color2,#767676);--rtnb-bad:var(--jp-error-color1,#d8433c);
box-sizing:border-box;max-width:60em;margin:2px 0 6px;border:1px solid var(--rtnb-line);border-radius:6px;
overflow:hidden;background:var(--jp-layout-color1,Canvas);
font-family:var(--jp-content-font-family,system-ui,sans-serif);
font-size:var(--jp-content-font-size1,14px);line-height:1.5;color:var(--jp-content-font-color1,inherit)}
.rtnb-turn *{box-sizing:border-box}
.rtnb-turn .rtnb-sides{display:flex;flex-wrap:wrap;gap:1px;background:var(--rtnb-line)}
.rtnb-turn .rtnb-side{flex:3 1 19em;min-width:0;padding:10px 14px 12px;
background-color:var(--jp-layout-color1,Canvas)}
.rtnb-turn .rtnb-user{flex:2 1 15em;background-image:linear-gradient(rgba(128,128,128,.05) 0 0)}
.rtnb-turn .rtnb-who{margin:0 0 2px;font-size:.79em;font-weight:600;color:var(--rtnb-soft)}
.rtnb-turn p{margin:4px 0;overflow-wrap:anywhere}
.rtnb-turn .rtnb-said{white-space:pre-wrap}
.rtnb-turn .rtnb-none{color:var(--rtnb-soft)}
.rtnb-turn .rtnb-sound{margin:4px 0 6px}
.rtnb-turn .rtnb-sound img{display:block;width:100%;height:48px;margin:0}
.rtnb-turn .rtnb-sound audio{display:block;width:100%;height:34px;margin-top:4px}
.rtnb-turn .rtnb-call{margin:8px 0;padding:1px 0 1px 10px;border-left:2px solid var(--rtnb-line)}
.rtnb-turn .rtnb-call p{margin:1px 0}
.rtnb-turn.rtnb-turn p code,.rtnb-turn.rtnb-turn details code{padding:0;background:none;color:inherit;
white-space:pre-wrap;
font-family:var(--jp-code-font-family,ui-monospace,monospace);font-size:.9em}
.rtnb-turn details summary{cursor:pointer}
.rtnb-turn .rtnb-bad{color:var(--rtnb-bad)}
.rtnb-turn .rtnb-foot{margin:0;padding:5px 14px 6px;border-top:1px solid var(--rtnb-line);
font-size:.84em;line-height:1.55;color:var(--rtnb-soft);font-variant-numeric:tabular-nums;
background:var(--jp-layout-color1,Canvas)}
.rtnb-turn .rtnb-foot small{font-size:inherit}
.rtnb-turn .rtnb-foot span:last-of-type{white-space:nowrap}
[data-jp-theme-light=false] .rtnb-turn audio{color-scheme:dark}
"""

STYLE = sheet(_RULES + _drawn(".rtnb-turn"))
"""A ``<style>`` element; its rules touch nothing outside ``.rtnb-turn``."""

_TABLE_RULES = f"""
.rtnb-table{{--rtnb-line:var(--jp-border-color2,rgba(128,128,128,.4));
--rtnb-soft:var(--jp-ui-font-color2,#767676);
max-width:60em;overflow-x:auto;font-family:var(--jp-content-font-family,system-ui,sans-serif);
font-size:var(--jp-content-font-size1,14px);line-height:1.5;color:var(--jp-content-font-color1,inherit)}}
.rtnb-table.rtnb-table table{{border-collapse:collapse;margin:2px 0 6px;font-size:.92em;
table-layout:auto;border:0}}
.rtnb-table.rtnb-table tr,.rtnb-table.rtnb-table tbody tr:nth-child(n){{background:none}}
.rtnb-table.rtnb-framed{{box-sizing:border-box;container-type:inline-size;margin:2px 0 6px;padding:8px 14px;
border:1px solid var(--rtnb-line);border-radius:6px;background:var(--jp-layout-color1,Canvas)}}
.rtnb-table .rtnb-wide{{{SCROLLED}}}
.rtnb-table caption{{caption-side:top;text-align:left;color:var(--rtnb-soft);padding:2px 0 4px}}
.rtnb-table.rtnb-table th,.rtnb-table.rtnb-table td{{text-align:left;vertical-align:top;
padding:2px 14px 2px 0;border:0;border-bottom:1px solid var(--rtnb-line);background:none;font-weight:400;
white-space:normal}}
.rtnb-table.rtnb-table thead th{{color:var(--rtnb-soft);font-size:.92em}}
.rtnb-table.rtnb-table tbody th{{white-space:nowrap}}
.rtnb-table.rtnb-table .rtnb-n{{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}}
.rtnb-table td:last-child{{min-width:8em}}
.rtnb-table.rtnb-table td.rtnb-n{{min-width:0}}
.rtnb-table summary{{cursor:pointer;font-size:.92em;color:var(--rtnb-soft)}}
@container (max-width:560px){{
.rtnb-table.rtnb-table .rtnb-stacked,.rtnb-table .rtnb-stacked :is(thead,tbody,caption){{display:block}}
.rtnb-table .rtnb-stacked tr{{display:grid;grid-template-columns:1fr auto;padding:0;
border-bottom:1px solid var(--rtnb-line)}}
.rtnb-table .rtnb-spread tr{{grid-template-columns:4fr 2fr repeat(4,3fr)}}
.rtnb-table.rtnb-table .rtnb-stacked :is(th,td){{padding-right:0;border:0}}
.rtnb-table.rtnb-table .rtnb-spread tbody th{{white-space:normal}}
.rtnb-table .rtnb-stacked [colspan]{{grid-column:span 4}}
.rtnb-table .rtnb-stacked td:not(.rtnb-n){{grid-column:1/-1;color:var(--rtnb-soft);font-size:.92em}}
.rtnb-table .rtnb-stacked thead th:not(:first-child,.rtnb-n){{display:none}}
}}
"""

TABLES = sheet(_TABLE_RULES + _drawn(".rtnb-table"))
"""A ``<style>`` element for plain tables; its rules touch nothing outside ``.rtnb-table``."""
