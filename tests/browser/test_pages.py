"""What holds of every page: cells run, saved notebooks read well, text stays text, kernels may die."""

import pytest

pytestmark = pytest.mark.browser

CONNECT = "import rtnb\ns = rtnb.connect(engine='weightless')"


async def test_a_turn_in_the_page(jupyter):
    page = await jupyter.open([CONNECT, "s.send('hello there').wait()"])
    await page.run_all()
    assert "hello there" in await page.text(1)
    assert "embedded" in await page.value("s.where")
    await page.portraits("turn", page.output(1))


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
    """What the other tests rely on: gestures, the fake microphone, tabs, themes, saving and restarting."""
    page = await lab.open(["x = 1", "x += 1; print(x)"], autoplay=False)
    await page.run(0)
    assert await page.js("() => new AudioContext().state") == "suspended"
    await page.press_run(1)
    assert await page.js(LISTEN) == {"state": "running", "loud": True}
    k = await page.append("x * 100")
    await page.run(k)
    assert await page.text(k) == "200"
    second = await page.also()
    await second.execute("x = 7")
    assert await page.value("x") == 7
    saved = await page.save()
    assert saved.cells[1].outputs[0].text == "2\n"
    await page.restart()
    with pytest.raises(AssertionError, match="NameError"):
        await page.value("x")
    await page.reload()
    assert "2" in await page.text(1)


async def test_a_denied_microphone(lab):
    page = await lab.open(["1"], microphone=False)
    assert await page.js(LISTEN) == {"error": "NotAllowedError"}
