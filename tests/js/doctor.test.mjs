import assert from "node:assert/strict";
import test from "node:test";

import { browserOf, frontEndOf } from "../../rtnb/widgets/static/doctor/doctor.js";

test("front ends are distinguished by what their pages have", () => {
  assert.equal(frontEndOf({ app: "JupyterLab", dataset: { jpThemeName: "x" } }), "JupyterLab");
  assert.equal(
    frontEndOf({ app: "Jupyter Notebook", dataset: { notebook: "notebooks", jpThemeName: "x" } }),
    "Notebook",
  );
  assert.equal(frontEndOf({ dataset: { vscodeThemeKind: "vscode-dark" } }), "Visual Studio Code");
  assert.equal(frontEndOf({ vscode: true }), "Visual Studio Code");
  assert.equal(frontEndOf({ hostname: "abc-colab.googleusercontent.com" }), "Google Colab");
  assert.equal(frontEndOf({ hostname: "colab.research.google.com" }), "Google Colab");
  assert.equal(frontEndOf({ hostname: "googleusercontent.com.example.org" }), "an unknown front end");
  assert.equal(frontEndOf({}), "an unknown front end");
});

test("browsers are distinguished by what they call themselves", () => {
  const chrome =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
  assert.equal(browserOf(chrome), "Chromium 156");
  assert.equal(browserOf(chrome.replace("Chrome", "HeadlessChrome")), "Chromium 156");
  assert.equal(browserOf(`${chrome} Edg/156.0.0.0`), "Edge 156");
  assert.equal(
    browserOf("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    "Firefox 140",
  );
  assert.equal(
    browserOf(
      "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    ),
    "Safari 18",
  );
  assert.equal(browserOf("curl/8"), "");
});
