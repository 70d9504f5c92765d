// Closes the open filter of a list on a click elsewhere, and on Escape.
"use strict";
function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.filter[open]")) {
    if (menu !== except) menu.open = false;
  }
}
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.filter")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelector("details.filter[open] > summary")?.focus();
  closeMenus(null);
});
