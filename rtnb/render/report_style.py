"""The look and the little script of a report: Jupyter's colour names, given values for light and dark."""

from __future__ import annotations

import base64
import hashlib

__all__ = ["CSS", "POLICY", "SCRIPT"]

_DARK = """color-scheme:dark;--jp-layout-color0:#14161a;--jp-layout-color1:#1a1d22;--jp-layout-color2:#22262d;
--jp-border-color1:#454b55;--jp-border-color2:#343a43;--jp-ui-font-color0:#f2f4f7;--jp-ui-font-color1:#e4e7eb;
--jp-ui-font-color2:#a3abb6;--jp-content-font-color0:#f2f4f7;--jp-content-font-color1:#e4e7eb;
--jp-content-font-color2:#a3abb6;--jp-error-color1:#ff7b72;--jp-warn-color1:#e3a64a;
--jp-success-color1:#56c27d;
--jp-brand-color1:#6cb2ec;--jp-content-link-color:#6cb2ec;"""

CSS = f"""
:root{{color-scheme:light;--jp-layout-color0:#fff;--jp-layout-color1:#fff;--jp-layout-color2:#f3f5f7;
--jp-border-color1:#c3c9d1;--jp-border-color2:#dce0e5;--jp-ui-font-color0:#111418;--jp-ui-font-color1:#1c2127;
--jp-ui-font-color2:#5d6671;--jp-content-font-color0:#111418;--jp-content-font-color1:#1c2127;
--jp-content-font-color2:#5d6671;--jp-error-color1:#c22f28;--jp-warn-color1:#955d00;
--jp-success-color1:#1c7c44;
--jp-brand-color1:#1b6ea8;--jp-content-link-color:#1b6ea8;
--jp-content-font-size1:15px;--jp-ui-font-size1:14px;
--jp-content-font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
--jp-code-font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}}
@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{_DARK}}}}}
@media print{{:root{{color-scheme:light}}}}
*{{box-sizing:border-box}}
html{{scroll-padding-top:16px}}
body{{margin:0;background:var(--jp-layout-color0);color:var(--jp-content-font-color1);
font:15px/1.55 var(--jp-content-font-family)}}
a{{color:var(--jp-content-link-color)}}
a:focus-visible,summary:focus-visible,audio:focus-visible,.rtnb-sound img:focus-visible{{
outline:2px solid var(--jp-brand-color1);outline-offset:2px;border-radius:3px}}
.skip{{position:absolute;left:-99em}}
.skip:focus{{left:12px;top:8px;background:var(--jp-layout-color1);padding:6px 12px;z-index:2}}
.page{{display:grid;grid-template-columns:minmax(0,1fr);max-width:1240px;margin:0 auto;padding:0 22px 64px}}
header.top{{padding:38px 0 6px}}
h1{{font-size:1.9rem;line-height:1.2;letter-spacing:-.015em;margin:0 0 6px;overflow-wrap:anywhere}}
.sub{{margin:0;color:var(--jp-ui-font-color2)}}
.note{{margin:16px 0 0;padding:9px 14px;border-left:3px solid var(--jp-warn-color1);
background:var(--jp-layout-color2);border-radius:0 5px 5px 0;max-width:58rem}}
.note.bad{{border-color:var(--jp-error-color1)}}
.figures{{display:flex;flex-wrap:wrap;gap:1px;margin:22px 0 0;padding:0;list-style:none;max-width:58rem;
border:1px solid var(--jp-border-color2);border-radius:7px;overflow:hidden;
background:var(--jp-border-color2)}}
.figures li{{flex:1 1 9.5em;padding:11px 16px 12px;background:var(--jp-layout-color1)}}
.figures b{{display:block;font-size:1.32rem;line-height:1.25;font-weight:600;
font-variant-numeric:tabular-nums}}
.figures span{{font-size:.84rem;color:var(--jp-ui-font-color2)}}
nav.toc{{margin:24px 0 0;font-size:.92rem}}
nav.toc h2{{font-size:.84rem;font-weight:600;margin:0 0 4px;color:var(--jp-ui-font-color2)}}
nav.toc ul{{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:2px 18px}}
nav.toc ul ul{{padding-left:12px;gap:0 12px;max-height:46vh;overflow:auto}}
nav.toc a{{text-decoration:none}}
nav.toc a:hover{{text-decoration:underline}}
nav.toc .bad{{color:var(--jp-error-color1)}}
main{{min-width:0}}
main>section{{margin:46px 0 0}}
h2{{font-size:1.32rem;letter-spacing:-.01em;margin:0 0 12px}}
h3{{font-size:1.02rem;margin:0 0 7px}}
h3 small{{font-weight:400;color:var(--jp-ui-font-color2);font-size:.88rem}}
h3 .bad{{color:var(--jp-error-color1)}}
article.turn{{margin:0 0 30px;padding:10px 0 0}}
article.turn:target h3,article.turn.playing h3{{color:var(--jp-brand-color1)}}
.lede{{max-width:58rem;margin:0 0 12px;color:var(--jp-ui-font-color2)}}
.rtnb-turn.rtnb-turn,.rtnb-table.rtnb-table,.rtnb-card.rtnb-card{{max-width:58rem}}
.report-table table{{border-collapse:collapse;font-size:.93rem;width:100%;max-width:58rem}}
.report-table th{{text-align:left;font-weight:400;color:var(--jp-ui-font-color2);vertical-align:top;
padding:4px 22px 4px 0;white-space:nowrap}}
.report-table td{{padding:4px 0;vertical-align:top;overflow-wrap:anywhere;white-space:pre-wrap}}
.report-table tr{{border-bottom:1px solid var(--jp-border-color2)}}
code,pre{{font-family:var(--jp-code-font-family);font-size:.88em}}
pre{{overflow-x:auto;background:var(--jp-layout-color2);padding:12px 14px;border-radius:6px;line-height:1.45;
white-space:pre-wrap;overflow-wrap:anywhere;max-height:34em}}
summary{{cursor:pointer;color:var(--jp-ui-font-color2)}}
.transcript{{display:grid;grid-template-columns:auto auto minmax(0,1fr);gap:5px 16px;margin:0;
max-width:58rem}}
.transcript dt{{color:var(--jp-ui-font-color2);font-variant-numeric:tabular-nums;white-space:nowrap}}
.transcript dt a{{text-decoration:none}}
.transcript dd{{margin:0;overflow-wrap:anywhere}}
.transcript .who{{font-weight:600;font-size:.92em}}
.log{{font-size:.84rem;overflow-x:auto}}
.log table{{border-collapse:collapse;font-family:var(--jp-code-font-family);font-size:.92em}}
.log td,.log th{{padding:1px 14px 1px 0;text-align:left;white-space:nowrap;vertical-align:top;
font-weight:400}}
.log td:last-child{{white-space:pre-wrap;overflow-wrap:anywhere;min-width:24em}}
.log .error{{color:var(--jp-error-color1)}}
.rtnb-sound{{position:relative}}
.rtnb-sound img.seek{{cursor:pointer}}
.rtnb-sound i{{position:absolute;top:0;width:2px;background:var(--jp-error-color1);pointer-events:none}}
footer{{margin:54px 0 0;padding:14px 0 0;border-top:1px solid var(--jp-border-color2);
font-size:.86rem;color:var(--jp-ui-font-color2)}}
@media (min-width:1120px){{
.page{{grid-template-columns:196px minmax(0,1fr);column-gap:44px}}
header.top,footer{{grid-column:2}}
nav.toc{{grid-column:1;grid-row:1/span 2;position:sticky;top:0;align-self:start;margin:46px 0 0;
max-height:100vh;overflow:auto}}
nav.toc ul{{display:block}}nav.toc li{{margin:3px 0}}
main{{grid-column:2}}}}
@media (max-width:560px){{.page{{padding:0 14px 48px}}header.top{{padding-top:22px}}h1{{font-size:1.5rem}}
.transcript{{grid-template-columns:auto minmax(0,1fr)}}.transcript dd:not(.who){{grid-column:1/-1}}
.report-table th{{white-space:normal;padding-right:12px}}}}
@media print{{body{{font-size:10.5pt}}nav.toc,audio,.skip{{display:none}}.page{{display:block;
max-width:none;padding:0}}
main>section{{margin-top:26px}}h2,h3{{break-after:avoid}}
.rtnb-turn,.rtnb-timeline svg,.figures{{break-inside:avoid}}
a{{color:inherit;text-decoration:none}}pre{{max-height:none}}.log{{font-size:7.5pt}}}}
"""
"""The style sheet; the cards bring their own rules and take the colours from here."""

SCRIPT = """
'use strict';
const sounds = [...document.querySelectorAll('audio')];
for (const sound of sounds) {
  const box = sound.closest('.rtnb-sound');
  const image = box && box.querySelector('img');
  const article = sound.closest('article');
  const mark = () => {
    if (article) article.classList.toggle('playing', sounds.some((s) => !s.paused && article.contains(s)));
  };
  sound.addEventListener('play', () => {
    for (const other of sounds) if (other !== sound) other.pause();
    mark();
  });
  sound.addEventListener('pause', mark);
  if (!image) continue;
  const head = document.createElement('i');
  const draw = () => {
    if (!sound.duration) return;
    head.style.left = image.offsetLeft + sound.currentTime / sound.duration * image.offsetWidth + 'px';
    head.style.height = image.offsetHeight + 'px';
    if (!head.parentNode) box.append(head);
    if (!sound.paused) requestAnimationFrame(draw);
  };
  sound.addEventListener('play', draw);
  sound.addEventListener('seeked', draw);
  image.classList.add('seek');
  image.title = 'Click to play from here';
  image.addEventListener('click', (event) => {
    if (!sound.duration) return;
    sound.currentTime = (event.offsetX / image.offsetWidth) * sound.duration;
    sound.play();
  });
}
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener('hashchange', open);
if (location.hash) open();
"""
"""Plays one sound at a time, shows where it is, and seeks; the page is whole without it."""

_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()

POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
)
"""The content security policy: no request leaves the page, and no script runs but its own."""
