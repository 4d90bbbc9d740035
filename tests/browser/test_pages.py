"""What holds of every page: cells run, saved notebooks read well, text stays text, kernels may die."""

import shutil
import subprocess
import sys

import nbformat
import pytest

from .lab import Page, md

pytestmark = pytest.mark.browser

CONNECT = "import rtnb\ns = rtnb.connect(engine='fake')"


LISTEN = """async () => {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const data = new Float32Array(analyser.fftSize);
    let peak = 0;
    const until = performance.now() + 2500;
    while (performance.now() < until && peak < 0.05) {
      await new Promise((done) => setTimeout(done, 20));
      analyser.getFloatTimeDomainData(data);
      for (const value of data) peak = Math.max(peak, Math.abs(value));
    }
    const state = context.state;
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    return { state, loud: peak >= 0.05 };
  } catch (error) { return { error: error.name }; }
}"""


async def test_the_harness(lab):
    """What the other tests rely on: gestures, the fake microphone, cells, saving."""
    page = await lab.open(["x = 1", "x += 1; print(x)"], autoplay=False)
    await page.run(0)
    assert await page.js("() => new AudioContext().state") == "suspended"
    await page.press_run(1)
    assert await page.js(LISTEN) == {"state": "running", "loud": True}
    k = await page.append("x * 100")
    await page.run(k)
    assert await page.text(k) == "200"
    saved = await page.save()
    assert saved.cells[1].outputs[0].text == "2\n"


# What each picture and each sound of a page is: loaded, or broken.
MEDIA = """async () => {
  const settle = (node, good, bad) => new Promise((done) => {
    node.addEventListener(good, done, { once: true });
    node.addEventListener(bad, done, { once: true });
    setTimeout(done, 3000);
  });
  const images = [...document.querySelectorAll(".rtnb-turn img, img[alt^='Waveform']")];
  const sounds = [...document.querySelectorAll("audio")];
  for (const sound of sounds) {
    if (sound.readyState === 0) { sound.load(); await settle(sound, "loadedmetadata", "error"); }
  }
  return {
    images: images.map((image) => image.complete && image.naturalWidth > 0),
    sounds: sounds.map((sound) => sound.duration > 0.1),
    live: document.querySelectorAll(".rtnb-live").length,
    bad: window.bad ?? null,
  }; }"""
ASKED = "Read this: <script>window.bad = 1</script><img src=x onerror='window.bad = 2'>"


async def spoken(jupyter, name):
    """Write a saved notebook in which a turn was sent and its card was shown; a page makes it once."""
    master = jupyter.root / "spoken.ipynb"
    if not master.exists():
        page = await jupyter.open([md("# A talk"), CONNECT, f"s.send({ASKED!r}).wait()"])
        await page.run(1)
        await page.run(2)
        saved = await page.save()
        await page.close()
        nbformat.write(saved, master)
    shutil.copy(master, jupyter.root / name)


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
async def test_a_saved_turn_is_read_and_played_without_a_kernel(jupyter, trusted):
    name = f"saved-{trusted}.ipynb"
    await spoken(jupyter, name)
    (jupyter.trust if trusted else jupyter.distrust)(name)
    page = await jupyter.open(path=name, kernel=False)
    text = await page.text(2)
    assert f"You said: {ASKED}" in text
    assert " ms wait" in text
    seen = await page.js(MEDIA)
    assert seen == {"images": [True], "sounds": [True], "live": 0, "bad": None}
    if jupyter.kind == "lab":
        await page.portraits(f"card-{'trusted' if trusted else 'untrusted'}", page.output(2))


async def test_html_of_nbconvert_is_whole_without_a_network(lab):
    await spoken(lab, "converted.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "converted.ipynb"]
    subprocess.run(command, cwd=lab.root, check=True, capture_output=True, timeout=60, env=lab.environment())
    browser = await lab.chromiums.get()
    context = await browser.new_context(offline=True, viewport={"width": 1000, "height": 700})
    try:
        tab = await context.new_page()
        await tab.goto((lab.root / "converted.html").as_uri(), wait_until="domcontentloaded")
        words = await tab.locator("body").inner_text()
        assert f"You said: {ASKED}" in words
        seen = await tab.evaluate(MEDIA)
        assert seen == {"images": [True], "sounds": [True], "live": 0, "bad": None}
        await Page(lab, context, tab, "converted.ipynb").screenshot("nbconvert", tab.locator(".rtnb-turn"))
    finally:
        await context.close()


async def test_the_kernel_restarts_and_the_notebook_continues(lab):
    page = await lab.open([CONNECT, "t = s.send('first').wait()\nt", "s.send('second').wait()"])
    await page.run(0)
    await page.run(1)
    await page.restart()
    assert "You said: first" in await page.text(1)
    failed = await page.run(2, error=True)
    assert failed[0]["ename"] == "NameError"
    await page.run(0)
    await page.run(2)
    assert "You said: second" in await page.text(2)


async def test_cards_follow_the_theme(lab):
    page = await lab.open([CONNECT, "s.send('hello').wait()"])
    await page.run_all()
    looks = """() => { const style = getComputedStyle(document.querySelector(".rtnb-turn"));
        const said = getComputedStyle(document.querySelector(".rtnb-turn .rtnb-text"));
        return [style.backgroundColor, said.color].map((text) => text.match(/[0-9.]+/g).slice(0, 3)
            .reduce((sum, each) => sum + Number(each), 0) / 765); }"""
    paper, ink = await page.js(looks)
    assert paper > 0.9
    assert ink < 0.3
    await page.dark()
    paper, ink = await page.js(looks)
    assert paper < 0.25
    assert ink > 0.7


async def test_a_notebook_is_worked_by_keys_alone(jupyter):
    page = await jupyter.open([CONNECT, "s.send('hello').wait()", "1 + 1"])
    keyboard = page.page.keyboard
    await page.cell(0).locator(".cm-content").focus()
    for k in range(2):
        await keyboard.press("Shift+Enter")
        await page.wait(
            "([path, k]) => rtnbTest.panel(path).content.widgets[k].model.executionCount === k + 1"
            " && rtnbTest.panel(path).content.activeCellIndex === k + 1",
            [page.path, k],
            seconds=30,
        )
    await page.wait("() => document.querySelector('.rtnb-turn audio')?.readyState > 0", seconds=10)
    # The player takes the focus and Space plays it; Jupyter does not take the key for itself.
    await page.js("() => document.querySelector('.rtnb-turn .rtnb-seek').focus()")
    await keyboard.press("Space")
    await page.wait("() => document.querySelector('.rtnb-turn audio').currentTime > 0.05", seconds=10)
