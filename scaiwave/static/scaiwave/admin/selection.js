// Selects all rows of a table by the box in its heading, counts what is selected, and offers acts on it.
"use strict";
const form = document.getElementById("changelist-form");
const counter = form?.querySelector(".selection output");
if (counter) {
  const buttons = form.querySelectorAll(".selection button");
  const update = () => {
    const number = form.querySelectorAll("[name=rows]:checked").length;
    counter.textContent = number ? `${number} selected` : "Select rows in the list.";
    for (const button of buttons) button.disabled = !number;
  };
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      const boxes = event.target.closest("[data-rows], table").querySelectorAll("[name=rows]");
      for (const box of boxes) box.checked = event.target.checked;
    }
    update();
  });
  // Rows stay selected if an act refuses them, which leads back to the list.
  const refused = document.querySelector(".messagelist .warning");
  const sent = (refused && sessionStorage.selection)?.split(",") ?? [];
  for (const box of form.querySelectorAll("[name=rows]")) box.checked ||= sent.includes(box.value);
  form.addEventListener("submit", () => (sessionStorage.selection = new FormData(form).getAll("rows")));
  // A browser that goes back keeps what was selected.
  window.addEventListener("pageshow", update);
}
