// A table of turns that sorts and filters. All text is in the page already, or set as text.
(() => {
  const FILTER_FROM = 5; // rows
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const words = cell.querySelector(".rtnb-text") ?? cell;
    if (!cell.classList.contains("rtnb-n")) return words.textContent.toLocaleLowerCase();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };

  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);

  const addSorting = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const sort = (column, direction) => {
      const rows = [...body.rows];
      const original = (a, b) => a.dataset.order - b.dataset.order;
      rows.sort((a, b) => {
        const [x, y] = [keyOf(a, column), keyOf(b, column)];
        if (x === null || y === null) return (x === null) - (y === null) || original(a, b); // unknown: last
        return (direction === "descending" ? -1 : 1) * compare(x, y) || original(a, b);
      });
      if (direction === "none") rows.sort(original);
      body.append(...rows);
    };
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" };
        const direction = next[head.getAttribute("aria-sort") ?? "none"];
        for (const other of heads) other.removeAttribute("aria-sort");
        if (direction !== "none") head.setAttribute("aria-sort", direction);
        sort(column, direction);
      });
    });
  };

  const addFilter = (root, table) => {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < FILTER_FROM) return;
    const field = make("input", {
      type: "search",
      placeholder: "Filter by words",
      "aria-label": "Filter turns",
    });
    const count = make("span", { role: "status" });
    field.addEventListener("input", () => {
      const words = field.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLocaleLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? `${shown} of ${rows.length} turns` : "";
    });
    for (const name of ["keydown", "keyup", "keypress"]) {
      field.addEventListener(name, (event) => event.stopPropagation()); // no shortcut of the notebook
    }
    root.prepend(make("div", { class: "rtnb-filter" }, field, count));
  };

  for (const root of document.querySelectorAll(".rtnb-turns:not([data-live])")) {
    root.dataset.live = "";
    const table = root.querySelector("table");
    if (!table) continue;
    if (!table.tHead || root.classList.contains("rtnb-compared")) continue;
    addSorting(table);
    addFilter(root, table);
  }
})();
