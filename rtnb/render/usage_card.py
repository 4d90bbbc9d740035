"""What a session used, as static HTML and as plain text: gauges, a table by turn, and what disagrees.

Bars are images that carry their data in their own ``src``, as all static pictures do; each figure that a bar
shows is there as a number too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from ..analysis import labels
from ..analysis.usage import Gauge, Limit, Row, UsageView, percent, seconds
from ..protocol.usage import Cost, Usage
from .html import data_uri
from .palette import GREY, gauge_colour, hatching, used
from .style import SCROLLED, STYLE, sheet

__all__ = ["line", "usage_html", "usage_text"]

_SHOWN = 40
"""Turns in the table; of a longer session the last ones."""

_BAR = 150
"""Width of a turn's bar, in pixels."""

_SUM = "kind unknown"
"""The head of the column of tokens of which only the sum was told."""

_GAP = 3
"""Pixels between input and output in it."""

_STYLE = f"""
.rtnb-usage .rtnb-sum{{margin:0;padding:9px 14px 4px}}
.rtnb-usage .rtnb-sum b{{font-size:1.3em;font-variant-numeric:tabular-nums}}
.rtnb-usage .rtnb-wide{{margin:0 14px 8px;{SCROLLED}}}
.rtnb-usage.rtnb-usage table{{width:auto;margin:6px 0;border:0;border-collapse:collapse;table-layout:auto;
font-size:.9em;font-variant-numeric:tabular-nums;color:inherit}}
.rtnb-usage.rtnb-usage thead tr,.rtnb-usage.rtnb-usage tbody tr:nth-child(n){{background:none}}
.rtnb-usage.rtnb-usage th,.rtnb-usage.rtnb-usage td{{padding:2px 0 2px 18px;border:0;text-align:right;
vertical-align:baseline;white-space:nowrap;max-width:none;font-weight:400}}
.rtnb-usage.rtnb-usage .rtnb-first{{padding-left:0;text-align:left}}
.rtnb-usage.rtnb-usage .rtnb-word{{text-align:left}}
.rtnb-usage.rtnb-usage .rtnb-meters{{margin:2px 14px 6px}}
.rtnb-usage.rtnb-usage .rtnb-meters tr{{padding:0 0 3px;display:flex;flex-wrap:wrap;align-items:center;
gap:0 14px}}
.rtnb-usage.rtnb-usage .rtnb-meters :is(th,td){{padding:1px 0;white-space:normal}}
.rtnb-usage.rtnb-usage .rtnb-meters img{{display:block}}
.rtnb-usage.rtnb-usage .rtnb-meters th{{flex:0 0 10.5em}}
.rtnb-usage.rtnb-usage .rtnb-meters .rtnb-word{{flex:1 1 18em}}
.rtnb-usage.rtnb-usage thead th{{color:var(--rtnb-soft);vertical-align:bottom}}
.rtnb-usage.rtnb-usage thead tr:last-child th{{border-bottom:1px solid var(--rtnb-line)}}
.rtnb-usage.rtnb-usage .rtnb-group{{text-align:center;border-bottom:1px solid var(--rtnb-line)}}
.rtnb-usage.rtnb-usage tfoot td,.rtnb-usage.rtnb-usage tfoot th{{border-top:1px solid var(--rtnb-line);
font-weight:600}}
.rtnb-usage .rtnb-none,.rtnb-usage .rtnb-none b{{color:var(--rtnb-soft);font-weight:400}}
.rtnb-usage.rtnb-usage img{{display:inline-block;margin:0;vertical-align:-1px;max-width:none}}
.rtnb-usage .rtnb-key{{white-space:nowrap}}
.rtnb-usage ul.rtnb-bad{{margin:0 14px 8px;padding:0 0 0 1.2em}}
"""


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of the table: what a row says in it, and what all rows do."""

    group: str
    head: str
    cell: Callable[[Row], str]
    total: str


def line(view: UsageView) -> str:
    """Return the whole in one line: turns, tokens, money."""
    if not view.turns:
        return "no turns yet"
    said = f"{_turns(view)}, {_tokens(view)}, {money(view)}"
    return said + (f"; {_unknown(view)}" if view.unknown else "")


def money(view: UsageView) -> str:
    """Return what it costs, or would cost, in words; "unpriced" where a price is unknown."""
    cost = view.cost
    if cost is None:
        return "unpriced" if view.known else "cost unknown"
    return _amount(cost) if view.billed else f"would cost {_amount(cost)}"


def _amount(cost: Cost) -> str:
    return labels.dollars(cost) if cost else "$0"


def _turns(view: UsageView) -> str:
    count = len(view.turns)
    return f"{count:,} turn{'' if count == 1 else 's'}"


def _tokens(view: UsageView) -> str:
    return str(view.total) if view.known else "tokens unknown"


def _unknown(view: UsageView) -> str:
    count = view.unknown
    return f"of {count} response{'' if count == 1 else 's'} the service has told no usage"


def _columns(view: UsageView) -> list[_Column]:
    total = view.total

    def tokens(group: str, head: str, side: str, count: Callable[..., int]) -> _Column:
        def cell(row: Row) -> str:
            made = count(row.usage)
            untold = getattr(row.usage, f"{side}_unsorted") and not made
            return "unknown" if untold else _count(row, made)

        return _Column(group, head, cell, f"{count(total):,}" if view.known else "unknown")

    kinds = ["text", "audio", *(["image"] if total.input_image or total.cached_image else [])]
    name = "cost" if view.billed else "would cost"
    priced = "unpriced" if view.known else "unknown"
    made = [_Column("", name, _price, priced if view.cost is None else labels.dollars(view.cost))]
    made += [
        tokens(
            "new in", kind, "input", lambda u, k=kind: getattr(u, f"input_{k}") - getattr(u, f"cached_{k}")
        )
        for kind in kinds
    ]
    made += [
        tokens("cached in", kind, "input", lambda u, k=kind: getattr(u, f"cached_{k}")) for kind in kinds
    ]
    made.append(_Column("cached in", "share", _found, _shared(view.cached_share)))
    if total.input_unsorted:
        made.append(tokens("in", _SUM, "input", lambda u: u.input_unsorted))
    made += [tokens("out", kind, "output", lambda u, k=kind: getattr(u, f"output_{k}")) for kind in kinds[:2]]
    if total.output_unsorted:
        made.append(tokens("out", _SUM, "output", lambda u: u.output_unsorted))
    made.append(_Column("", "context", _held, ""))
    if total.transcription:
        made.append(_Column("", "transcribed", lambda row: _heard(row.usage), _heard(total)))
    return made


def _count(row: Row, count: int) -> str:
    if row.known:
        return f"{count:,}"
    return "–" if not row.responses else "running" if row.status == "in_progress" else "unknown"


def _found(row: Row) -> str:
    return _shared(row.cached_share) if row.known else _count(row, 0)


def _shared(share: float | None) -> str:
    return "unknown" if share is None else percent(share)


def _held(row: Row) -> str:
    return "–" if row.known and row.context is None else _count(row, row.context or 0)


def _heard(usage: Usage) -> str:
    said = [f"{heard:.1f} s" for heard in seconds(usage)]
    for counts in usage.transcription.values():
        if "seconds" not in counts:
            said.append(
                f"{counts.get('total_tokens', 0):,.0f} tokens" if "total_tokens" in counts else "unknown"
            )
    return ", ".join(said) or "–"


def _price(row: Row) -> str:
    if not row.known and row.usage.total_tokens == 0:
        return _count(row, 0)
    return "unpriced" if row.cost is None else labels.dollars(row.cost)


def _notes(view: UsageView) -> list[str]:
    """Return what must be said of the prices and of what is not in them."""
    cost, notes = view.cost, []
    if cost is not None:
        source = f" ({cost.source})" if cost.source else ""
        notes.append(f"Prices of {cost.model} as of {cost.as_of}{source}.")
        if cost.at_most:
            notes.append("Tokens of which the service told no proper kind are taken at the dearest price.")
        if cost.excludes:
            notes.append(f"Not in the sum: {', '.join(cost.excludes)}.")
    elif not view.known:
        notes.append("What was used is unknown, and so is what it costs.")
    elif not view.model.known:
        name = view.model.id or "The model"
        notes.append(f"{name} has no known price: rtnb.models.load states one.")
    else:
        notes.append(f"Not all that was used has a known price at {view.model.id}.")
    if not view.billed:
        notes.append(labels.honest(view.engine, view.model.id) or "Not billed.")
    if view.unknown:
        notes.append(f"{_unknown(view)[0].upper()}{_unknown(view)[1:]}: they are not in the sums.")
    return notes


@dataclass(frozen=True, slots=True)
class _Meter:
    """What is shown as a gauge: how full it is (None where unknown), words, and whether full is bad."""

    name: str
    share: float | None
    said: str
    bad: bool = True


def _gauges(view: UsageView) -> list[_Meter]:
    share = view.cached_share
    cached = (
        "unknown"
        if share is None
        else f"{percent(share)} of the input ({view.cached_tokens:,} of {view.input_tokens:,} tokens)"
    )
    made = []
    if view.turns:
        made += [_gauge(view.context), _gauge(view.output)]
        made.append(_Meter("found in the cache", share, cached, bad=False))
    made += [_gauge(gauge) for gauge in view.budget]
    return made + [_left(limit) for limit in view.limits]


def _gauge(gauge: Gauge) -> _Meter:
    return _Meter(gauge.name, gauge.share, str(gauge))


def _left(limit: Limit) -> _Meter:
    share = None
    if limit.limit and limit.remaining is not None:
        share = 1 - limit.remaining / limit.limit
    return _Meter(f"rate limit, {limit.name}", share, str(limit))


def usage_text(view: UsageView) -> str:
    """Return it as plain text, its figures in columns."""
    gauges = [f"{meter.name}: {meter.said}" for meter in _gauges(view)]
    if not view.turns:
        return "\n".join([f"Usage: {line(view)}", *gauges, *view.problems])
    columns = _columns(view)
    rows = view.turns[-_SHOWN:]
    table = [["", *(column.group for column in columns)]]
    for at in range(len(table[0]) - 1, 1, -1):  # a group is named once
        if table[0][at] == table[0][at - 1]:
            table[0][at] = ""
    table.append(["turn", *(column.head for column in columns)])
    table += [[str(row.turn), *(column.cell(row) for column in columns)] for row in rows]
    table.append(["all", *(column.total for column in columns)])
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    if len(view.turns) > len(rows):
        lines.insert(2, f"… {len(view.turns) - len(rows):,} earlier turns")
    return "\n".join([f"Usage: {line(view)}", "", *lines, "", *gauges, *view.problems, *_notes(view)])


def usage_html(view: UsageView) -> str:
    """Return it as static HTML, right without a kernel and readable without its style."""
    bad = "".join(f"<li>{escape(said)}</li>" for said in view.problems)
    problems = f'<ul class="rtnb-bad">{bad}</ul>' if bad else ""
    head, foot = '<span class="rtnb-none">No turns yet.</span>', ""
    if view.turns:
        head = f"{_headline(view)} · {_turns(view)} · {escape(_tokens(view))}"
        notes = " ".join(escape(said) for said in _notes(view))
        foot = f'<p class="rtnb-foot"><small>{_legend(view)}{notes}</small></p>'
    return (
        f'{STYLE}{sheet(_STYLE)}<div class="rtnb-turn rtnb-usage" role="group" aria-label="Usage">'
        f'<p class="rtnb-sum">{head}</p>{_meters(view)}{_table(view)}{problems}{foot}</div>'
    )


def _headline(view: UsageView) -> str:
    if view.cost is None or view.billed:
        return f"<b>{escape(money(view))}</b>"
    return f"would cost <b>{escape(_amount(view.cost))}</b>"


def _meters(view: UsageView) -> str:
    rows = []
    for meter in _gauges(view):
        full = "unknown" if meter.share is None else percent(meter.share)
        quiet = " rtnb-none" if meter.share is None else ""
        rows.append(
            f'<tr><th scope="row" class="rtnb-first">{escape(meter.name)}</th>'
            f"<td>{_image(_meter(meter), full, 150)}</td>"
            f'<td class="rtnb-word{quiet}">{escape(meter.said)}</td></tr>'
        )
    return f'<table class="rtnb-meters"><tbody>{"".join(rows)}</tbody></table>' if rows else ""


def _table(view: UsageView) -> str:
    if not view.turns:
        return ""
    columns = _columns(view)
    rows = view.turns[-_SHOWN:]
    top = max((row.usage.total_tokens for row in rows), default=0)
    spans: list[tuple[str, int]] = []
    for column in columns:
        if spans and spans[-1][0] == column.group:
            spans[-1] = column.group, spans[-1][1] + 1
        else:
            spans.append((column.group, 1))
    groups = "".join(
        f'<th colspan="{span}" scope="colgroup" class="rtnb-group">{group}</th>'
        if group
        else f'<td colspan="{span}"></td>'
        for group, span in spans
    )
    heads = "".join(f'<th scope="col">{column.head}</th>' for column in columns)
    earlier = len(view.turns) - len(rows)
    skipped = (
        f'<tr><td class="rtnb-first rtnb-none" colspan="{len(columns) + 2}">'
        f"… {earlier:,} earlier turns are in the sum</td></tr>"
        if earlier > 0
        else ""
    )
    body = "".join(_row(row, columns, top) for row in rows)
    total = "".join(f"<td>{escape(column.total)}</td>" for column in columns)
    return (
        f'<div class="rtnb-wide"><table><thead><tr><td class="rtnb-first"></td>{groups}<td></td></tr>'
        f'<tr><th scope="col" class="rtnb-first">turn</th>{heads}<th></th></tr></thead>'
        f"<tbody>{skipped}{body}</tbody>"
        f'<tfoot><tr><th scope="row" class="rtnb-first">all</th>{total}<td></td></tr></tfoot></table></div>'
    )


def _row(row: Row, columns: Sequence[_Column], top: int) -> str:
    cells = "".join(_cell(column.cell(row)) for column in columns)
    bar = ""
    if row.usage.total_tokens:
        bar = _image(_stack(row, top), f"{row.usage.total_tokens:,} tokens", _BAR)
    status = (
        ""
        if row.status == "completed"
        else f' <small class="rtnb-none">{escape(row.status.replace("_", " "))}</small>'
    )
    return (
        f'<tr><th scope="row" class="rtnb-first">{row.turn}{status}</th>{cells}'
        f'<td class="rtnb-word">{bar}</td></tr>'
    )


def _cell(said: str) -> str:
    quiet = ' class="rtnb-none"' if said in ("0", "–", "unknown", "running", "unpriced") else ""
    return f"<td{quiet}>{escape(said)}</td>"


def _image(svg: str, alt: str, width: int) -> str:
    source = data_uri(svg.encode(), "image/svg+xml")
    return f'<img class="rtnb-drawn" src="{source}" alt="{escape(alt)}" width="{width}" height="10">'


def _svg(width: int, inner: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="10" viewBox="0 0 {width} 10">'
        f"{inner}</svg>"
    )


def _meter(meter: _Meter) -> str:
    """Draw how full something is; an unknown share as a dashed outline."""
    share = meter.share
    if share is None:
        return _svg(
            150,
            f'<rect x=".5" y="1.5" width="149" height="7" rx="3.5" fill="none" stroke="{GREY}" '
            'stroke-dasharray="3 3"/>',
        )
    full = max(round(150 * min(max(share, 0.0), 1.0), 1), 2)
    colour = gauge_colour(share if meter.bad else 0.0)
    track = f'<rect y="1" width="150" height="8" rx="4" fill="{GREY}" opacity=".3"/>'
    fill = f'<rect y="1" width="{full}" height="8" rx="{min(4, full / 2)}" fill="{colour}"/>'
    return _svg(150, track + (fill if share > 0 else ""))


def _stack(row: Row, top: int) -> str:
    """Draw a turn's tokens by kind, to the scale of the longest turn: input, a gap, then output."""
    scale = (_BAR - _GAP) / max(top, 1)
    shades = used([row.usage])
    x, side, inner = 0.0, "in", hatching(shades)
    for shade in shades:
        if shade.side != side:
            x, side = x + (_GAP if x else 0), shade.side
        width = shade.count(row.usage) * scale
        inner += f'<rect x="{x:.1f}" width="{max(width, 0.5):.1f}" height="10" fill="{shade.fill}"/>'
        x += width
    return _svg(_BAR, inner)


def _legend(view: UsageView) -> str:
    marks = []
    for shade in used([view.total]):
        swatch = f'{hatching([shade])}<rect width="10" height="10" rx="2" fill="{shade.fill}"/>'
        marks.append(f'<span class="rtnb-key">{_image(_svg(10, swatch), "", 10)} {shade.name}')
    return " ·</span> ".join(marks) + "</span><br>" if marks else ""
