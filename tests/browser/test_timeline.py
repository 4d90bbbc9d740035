"""A timeline in a saved notebook: its pictures are seen, trusted or not, and no heap of words is left."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from frames import full

from rtnb.analysis.timeline import Timeline
from rtnb.analysis.turn import TurnView

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
async def test_a_saved_timeline_is_seen(lab: Any, trusted: bool) -> None:
    wire = full()
    views = [TurnView(wire.state, fold) for fold in wire.turns]
    timelines = [views[1].timeline, Timeline([view.times for view in views], whole=True)]
    cells = []
    for timeline in timelines:
        data = timeline._repr_mimebundle_()
        output = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
        cells.append(nbformat.v4.new_code_cell("timeline", outputs=[output], execution_count=1))
    name = f"timeline-{trusted}.ipynb"
    lab.write(name, cells)
    (lab.trust if trusted else lab.distrust)(name)
    page = await lab.open(path=name, kernel=False)
    for k, pictures in enumerate((1, 2)):
        output = page.cell(k)
        images = output.locator(".jp-OutputArea-output .rtnb-picture img")
        await output.get_by_text("marks").first.wait_for()
        assert await images.count() == pictures
        widths = await images.evaluate_all(
            "all => all.map((image) => [image.naturalWidth, image.offsetWidth])"
        )
        assert all(natural > 500 and shown > 300 for natural, shown in widths)
        text = await output.inner_text()
        assert "0.2 s not played" not in text  # that is in the picture
        assert "Generated but not played" in text
        spots = await output.locator("[title*='since the session began']").count()
        assert spots > 5 or k
    await page.portraits(f"timeline-{'trusted' if trusted else 'untrusted'}", page.cell(0))
