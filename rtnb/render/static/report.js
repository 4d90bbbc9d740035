"use strict";
// Plays one recording at a time, shows its position, and seeks. The page is whole without this script.
const players = [...document.querySelectorAll("audio")];
for (const player of players) {
  const box = player.closest(".rtnb-audio");
  const image = box && box.querySelector("img");
  const article = player.closest("article");
  const mark = () => {
    if (article) article.classList.toggle("playing", players.some((one) => !one.paused && article.contains(one)));
  };
  player.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.pause();
    mark();
  });
  player.addEventListener("pause", mark);
  if (!image) continue;
  const head = document.createElement("i");
  const draw = () => {
    if (!player.duration) return;
    head.style.left = `${image.offsetLeft + (player.currentTime / player.duration) * image.offsetWidth}px`;
    head.style.height = `${image.offsetHeight}px`;
    if (!head.parentNode) box.append(head);
    if (!player.paused) requestAnimationFrame(draw);
  };
  player.addEventListener("play", draw);
  player.addEventListener("seeked", draw);
  image.classList.add("seek");
  image.title = "Click to play from here";
  image.addEventListener("click", (event) => {
    if (!player.duration) return;
    player.currentTime = (event.offsetX / image.offsetWidth) * player.duration;
    player.play();
  });
}
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", open);
if (location.hash) open();
