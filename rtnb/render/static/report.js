// Marks the turn that plays, and opens the part that a link leads to.
for (const name of ["play", "pause"]) {
  addEventListener(
    name,
    ({ target }) => target.closest?.("article")?.classList.toggle("playing", name === "play"),
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
