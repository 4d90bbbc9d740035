// Marks the turn that plays, and opens the part that a link leads to.
for (const name of ["play", "pause"]) {
  addEventListener(
    name,
    ({ target }) => {
      const turn = target.closest?.("article"); // it may have two: one starts before the other pauses
      const sounds = [...(turn?.querySelectorAll("audio") ?? [])];
      turn?.classList.toggle("playing", sounds.some((one) => !one.paused));
    },
    true,
  );
}
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", open);
if (location.hash) open();
