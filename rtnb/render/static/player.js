// Makes each .rtnb-player one control: a round button, its waveform as a slider, the time, speed and download.
// Without this script a player is a picture above the browser's own controls.
{
  const key = Symbol.for("rtnb.players.1");
  const SPEEDS = [1, 1.5, 2, 0.5];
  const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 };
  const make = (tag, name, attributes, ...children) => {
    const node = document.createElement(tag);
    node.className = name;
    for (const [each, value] of Object.entries(attributes)) node.setAttribute(each, value);
    if (tag !== "span") node.setAttribute("data-lm-suppress-shortcuts", "true"); // Jupyter's own keys
    node.append(...children);
    return node;
  };
  const clock = (seconds) => {
    const tenths = Math.floor(seconds * 10 + 0.001);
    return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
  };

  const attach = (box) => {
    const audio = box.querySelector("audio");
    const image = box.querySelector("img");
    if (!audio || !image) return;
    const seconds = Number(box.dataset.seconds) || 0.1;
    const cut = Number(box.dataset.played ?? seconds) / seconds;
    const label = audio.getAttribute("aria-label");
    const [what] = label.replace("Play ", "").split(", ");
    const play = make("button", "rtnb-play", { type: "button" });
    const bars = make("span", "rtnb-bars", {});
    const head = make("i", "", { hidden: "" });
    const now = make("span", "rtnb-now", {});
    const seek = make("div", "rtnb-seek", {
      role: "slider",
      tabindex: "0",
      "aria-label": `Position in ${what}`,
      "aria-valuemin": "0",
      "aria-valuemax": seconds.toFixed(1),
      title: "Click to play from here",
    });
    const speed = make("button", "rtnb-more", { type: "button", "aria-label": `Speed of ${what}` }, "1×");
    const file = `${what.replace(/[^\w-]+/g, "-").toLowerCase()}.ogg`;
    const save = make("a", "rtnb-more", { href: audio.src, download: file }, "↓");
    save.setAttribute("aria-label", `Download ${what}`);
    save.title = "Download";

    const draw = () => {
      const at = Math.min(audio.currentTime, seconds);
      const shown = clock(at);
      const rest = audio.paused && (at === 0 || audio.ended);
      const share = rest ? cut : at / seconds; // at rest it shows how far it was played live
      bars.style.setProperty("--rtnb-at", `${100 * share}%`);
      head.style.left = `${100 * share}%`;
      head.hidden = share === 1;
      now.textContent = `${clock(share * seconds)} / `;
      seek.setAttribute("aria-valuenow", at.toFixed(1));
      seek.setAttribute("aria-valuetext", `${shown} of ${clock(seconds)}`);
      if (!audio.paused) requestAnimationFrame(draw);
    };
    const show = () => {
      play.setAttribute("aria-pressed", String(!audio.paused));
      play.setAttribute("aria-label", audio.paused ? label : label.replace("Play", "Pause"));
      draw();
    };
    const toggle = () => (audio.paused ? audio.play() : audio.pause());
    const jump = (to) => {
      audio.currentTime = Math.max(0, Math.min(to, seconds));
      draw();
    };
    const point = (event) => {
      const { left, width } = seek.getBoundingClientRect();
      jump(((event.clientX - left) / width) * seconds);
    };
    play.addEventListener("click", toggle);
    seek.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      seek.setPointerCapture(event.pointerId);
      point(event);
    });
    seek.addEventListener("pointermove", (event) => {
      if (seek.hasPointerCapture(event.pointerId)) point(event);
    });
    seek.addEventListener("click", () => audio.play());
    seek.addEventListener("keydown", (event) => {
      if (event.key in KEYS) jump(audio.currentTime + KEYS[event.key]);
      else if (event.key === "Home") jump(0);
      else if (event.key === "End") jump(seconds);
      else if (event.key === " " || event.key === "Enter") toggle();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    speed.addEventListener("click", () => {
      audio.playbackRate = SPEEDS[(SPEEDS.indexOf(audio.playbackRate) + 1) % SPEEDS.length];
      speed.textContent = `${audio.playbackRate}×`;
    });
    audio.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
      show();
    });
    for (const name of ["pause", "ended", "seeked"]) audio.addEventListener(name, show);

    audio.controls = false;
    audio.style.display = "none";
    bars.style.maskImage = `url("${image.src}")`;
    bars.style.setProperty("--rtnb-cut", `${100 * cut}%`);
    seek.append(image, bars, head);
    const time = make("span", "rtnb-time", {}, now, clock(seconds));
    box.prepend(make("div", "rtnb-controls", {}, play, seek, time, speed, save));
    show();
  };

  globalThis[key] ??= (root) => {
    for (const box of root.querySelectorAll(".rtnb-player:not([data-live])")) {
      box.dataset.live = "";
      attach(box);
    }
  };
  globalThis[key](document);
}
