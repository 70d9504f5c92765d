// Selects all rows of a table by the box in its heading, and counts what is selected.
"use strict";
const form = document.getElementById("changelist-form");
const counter = form?.querySelector(".selection output");
if (counter) {
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      const boxes = event.target.closest("[data-rows], table").querySelectorAll("[name=rows]");
      for (const box of boxes) box.checked = event.target.checked;
    }
    const number = form.querySelectorAll("[name=rows]:checked").length;
    counter.textContent = number ? `${number} selected` : "Select rows in the list.";
  });
}
