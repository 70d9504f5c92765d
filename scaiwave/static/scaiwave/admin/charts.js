// Shows the values of the column of a chart that has the pointer, or that arrow keys have chosen.
"use strict";
for (const chart of document.querySelectorAll(".chart")) {
  const plot = chart.querySelector(".plot");
  if (!plot) continue;
  const output = chart.querySelector("output");
  const columns = [...plot.querySelectorAll(".column")];
  let chosen = -1;
  for (const column of columns) {
    const title = column.querySelector("title");
    if (column.dataset.at) title.textContent = title.textContent.replace(/^.*? UTC/, formatLocal(column.dataset.at));
  }
  const show = (index) => {
    columns[chosen]?.classList.remove("chosen");
    chosen = index;
    columns[chosen]?.classList.add("chosen");
    output.textContent = columns[chosen]?.querySelector("title").textContent ?? "";
  };
  plot.addEventListener("pointerover", (event) => show(columns.indexOf(event.target.closest(".column"))));
  plot.addEventListener("pointerleave", () => show(-1));
  plot.addEventListener("focus", () => show(columns.length - 1));
  plot.addEventListener("blur", () => show(-1));
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -columns.length, End: columns.length }[event.key];
    if (event.key === "Enter") columns[chosen]?.closest("a")?.dispatchEvent(new MouseEvent("click"));
    if (!step) return;
    event.preventDefault();
    show(Math.min(Math.max(chosen + step, 0), columns.length - 1));
  });
}
