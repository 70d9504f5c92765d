// Suggests rows while someone types: in the search of the site it opens the chosen row, in a filter
// it fills in its name. Without this script, both work by Enter.
"use strict";
const WAIT_MS = 200;

function suggestFor(input) {
  const list = document.createElement("ul");
  list.id = `${input.name}-suggestions-${document.querySelectorAll("[role=listbox]").length}`;
  list.className = "suggestions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  list.hidden = true;
  input.after(list);
  for (const [name, value] of Object.entries({
    role: "combobox", "aria-autocomplete": "list", "aria-controls": list.id, "aria-expanded": "false",
  })) input.setAttribute(name, value);
  let timer, asked = 0;

  function show(results) {
    list.replaceChildren(...results.map((row, index) => {
      const option = document.createElement("li");
      option.id = `${list.id}-${index}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      for (const [style, text] of [["", row.text], ["why", row.details], ["kind", row.kind]]) {
        const part = document.createElement("span");
        part.className = style;
        part.textContent = text;
        option.append(part);
      }
      option.addEventListener("mousedown", (event) => event.preventDefault());
      option.addEventListener("click", () => choose(row));
      option.row = row;
      return option;
    }));
    list.hidden = !results.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    input.removeAttribute("aria-activedescendant");
  }
  function choose(row) {
    if (input.type === "search") return location.assign(row.url);
    input.value = row.value;
    input.form.requestSubmit();
  }
  function move(step) {
    const options = [...list.children];
    const current = options.findIndex((each) => each.ariaSelected === "true");
    const next = (current + step + options.length + (current < 0 && step < 0)) % options.length;
    options.forEach((each, index) => each.setAttribute("aria-selected", String(index === next)));
    input.setAttribute("aria-activedescendant", options[next].id);
  }
  async function ask() {
    const number = ++asked;
    const url = new URL(input.dataset.suggest, location.href);
    url.searchParams.set("q", input.value);
    const answer = input.value.trim().length > 1 ? await fetch(url) : null;
    const { results } = answer?.ok && !answer.redirected ? await answer.json() : { results: [] };
    if (number === asked) show(results);
  }
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => ask().catch(() => show([])), WAIT_MS);
  });
  input.addEventListener("blur", () => show([]));
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const chosen = [...list.children].find((each) => each.ariaSelected === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") move(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Enter" && chosen) choose(chosen.row);
    else if (event.key === "Escape") show([]);
    else return;
    event.preventDefault();
  });
}
document.querySelectorAll("[data-suggest]").forEach(suggestFor);
