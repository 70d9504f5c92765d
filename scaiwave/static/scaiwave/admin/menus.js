// Closes the open filter of a list, or a menu of acts, on a click elsewhere, and on Escape.
"use strict";
function closeMenus(except) {
  for (const menu of document.querySelectorAll("details:is(.filter, .more)[open]")) {
    if (menu !== except) menu.open = false;
  }
}
document.addEventListener("click", (event) => closeMenus(event.target.closest("details:is(.filter, .more)")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelector("details:is(.filter, .more)[open] > summary")?.focus();
  closeMenus(null);
});
