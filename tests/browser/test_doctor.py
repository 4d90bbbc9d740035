"""The environment check, filled in by the page."""

import pytest

pytestmark = pytest.mark.browser

DOCTOR = "from rtnb.widgets.doctor import doctor\nd = doctor()\nd"
READY = "() => document.querySelector('.rtnb-doctor [role=status]')?.textContent.includes('roblem')"


async def test_the_page_checks_itself(jupyter):
    page = await jupyter.open([DOCTOR])
    await page.run(0)
    await page.wait(READY)
    text = await page.text(0)
    assert {"lab": "JupyterLab", "notebook": "Notebook"}[jupyter.kind] in text
    assert "granted, " in text
    assert "plays at once" in text
    assert "ms round trip" in text
    assert "messages from the page arrive" in text
    assert "No problems" in text
    assert await page.value("[check.name for check in d.problems]") == []
    if jupyter.kind == "lab":
        await page.portraits("doctor", page.output(0).locator(".rtnb-doctor"))


async def test_a_denied_microphone_and_silence_before_a_gesture(lab):
    page = await lab.open([DOCTOR], microphone=False, autoplay=False)
    await page.run(0)
    await page.wait(READY)
    text = await page.text(0)
    assert "waits for a click or key" in text
    found = await page.value("next(c.found for c in d.checks if c.name == 'Microphone')")
    assert found.startswith(("denied", "not yet requested"))
    await page.output(0).get_by_role("button", name="Check again").click()
    await page.until(
        "next(c.found for c in d.checks if c.name == 'Audio output').startswith('plays at once')"
    )
