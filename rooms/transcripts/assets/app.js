// Search of a transcript. The text is in scripts that call `register`, because a page that was
// opened from a disk may not fetch. Without scripts everything but the search works.
"use strict";
(() => {
  const nonce = document.currentScript.nonce;
  const shardCount = Number(document.body?.dataset.shards ?? 0);
  const box = document.getElementById("q");
  const panel = document.getElementById("results");
  const MAX_SHOWN = 200, PARALLEL = 12, DELAY_MS = 180;
  const loaded = new Map(), waiting = new Map();
  let run = 0, timer = 0, zone = document.body?.dataset.zone ?? "UTC", clock = makeClock("UTC");
  try { clock = makeClock(zone); } catch { zone = "UTC"; } // Not every browser knows every zone.

  function makeClock(timeZone) {
    return new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "short", timeZone });
  }

  window.register = (key, names, text) => {
    const part = { names, text, lowerNames: names?.map(fold) };
    loaded.set(`${key}`, part);
    waiting.get(`${key}`)?.(part);
    waiting.delete(`${key}`);
  };

  function fold(text) {
    return text.toLowerCase();
  }

  function load(number, prefix = "") {
    const key = `${prefix}${number}`;
    if (loaded.has(key)) return Promise.resolve(loaded.get(key));
    return new Promise((resolve, reject) => {
      waiting.set(key, resolve);
      const script = document.createElement("script");
      script.nonce = nonce;
      script.src = `search/${prefix}${String(number).padStart(4, "0")}.js`;
      script.onerror = () => reject(new Error(script.src));
      document.head.append(script);
    });
  }

  // Load the text of some pages, unless their list of words shows that a word is not in it.
  async function loadText(number, words) {
    const list = (await load(number, "w")).text;
    return words.every((word) => list.includes(word)) ? load(number) : null;
  }

  // Yield the lines with all words, where a word may be in the name of the author.
  function* findLines(shard, words) {
    const { text, names, lowerNames } = shard;
    const lower = fold(text); // not kept, since all texts together may have hundreds of megabytes
    const isInName = words.some((word) => lowerNames.some((name) => name.includes(word)));
    const first = words.reduce((a, b) => (b.length > a.length ? b : a));
    const aligned = lower.length === text.length;
    const lines = aligned ? null : text.split("\n");
    let page = 0, pageEnd = -1, at = 0, row = 0;
    while (at < lower.length) {
      let start = at;
      if (!isInName && aligned) {
        const hit = lower.indexOf(first, at);
        if (hit < 0) return;
        start = lower.lastIndexOf("\n", hit) + 1;
      }
      let end = lower.indexOf("\n", start);
      if (end < 0) end = lower.length;
      at = end + 1;
      if (start > pageEnd) {
        const mark = lower[start] === "#" ? start : lower.lastIndexOf("\n#", start) + 1;
        page = parseInt(lower.slice(mark + 1), 10);
        pageEnd = lower.indexOf("\n#", mark + 1);
        if (pageEnd < 0) pageEnd = lower.length;
      }
      const line = lower.slice(start, end), tab = line.indexOf("\t");
      const original = lines ? lines[row++] : null;
      if (tab < 0) continue;
      const [number, who, second] = line.slice(0, tab).split(" ").map(Number);
      const body = line.slice(tab + 1);
      if (words.every((word) => body.includes(word) || lowerNames[who].includes(word))) {
        const shown = original ? original.slice(original.indexOf("\t") + 1) : text.slice(start + tab + 1, end);
        yield { page, number, name: names[who], second, text: shown };
      }
    }
  }

  // In one file, the events themselves are searched.
  function* findArticles(words) {
    for (const article of document.querySelectorAll("article")) {
      const text = article.textContent, lower = fold(text);
      if (words.every((word) => lower.includes(word))) {
        const name = article.querySelector("header b").textContent;
        const body = [...article.children].slice(1).map((child) => child.textContent).join(" ");
        const time = article.querySelector("time"), number = time.parentNode.id.slice(1);
        yield { page: 0, number, name, second: Date.parse(time.dateTime) / 1000, text: body };
      }
    }
  }

  function makeItem(hit, words) {
    const item = document.createElement("li"), link = document.createElement("a");
    const head = document.createElement("small"), name = document.createElement("b");
    const file = hit.page ? `p${String(hit.page).padStart(4, "0")}.html` : "";
    link.href = `${file}#n${hit.number}`;
    name.textContent = hit.name;
    name.dir = "auto";
    const when = new Date(hit.second * 1000);
    const stamp = Number.isNaN(when.getTime()) ? "" : clock.format(when);
    head.append(`#${hit.number} `, name, ` · ${stamp} ${zone}${hit.page ? ` · page ${hit.page}` : ""}`);
    const quote = document.createElement("span");
    quote.dir = "auto";
    addMarked(quote, cut(hit.text, words), words);
    link.append(head, quote);
    item.append(link);
    return item;
  }

  function cut(text, words) {
    const at = Math.max(0, fold(text).indexOf(words[0]) - 60);
    return (at ? "…" : "") + text.slice(at, at + 220) + (text.length > at + 220 ? "…" : "");
  }

  function addMarked(target, text, words) {
    const lower = fold(text);
    if (lower.length !== text.length) return target.append(text);
    let at = 0;
    while (at < text.length) {
      let start = -1, size = 0;
      for (const word of words) {
        const found = lower.indexOf(word, at);
        if (found >= 0 && (start < 0 || found < start)) [start, size] = [found, word.length];
      }
      if (start < 0) break;
      const mark = document.createElement("mark");
      mark.textContent = text.slice(start, start + size);
      target.append(text.slice(at, start), mark);
      at = start + size;
    }
    target.append(text.slice(at));
  }

  async function search() {
    const own = ++run, words = fold(box.value).split(/\s+/).filter(Boolean);
    panel.hidden = !words.length;
    panel.textContent = "";
    if (!words.length) return;
    const status = document.createElement("p"), list = document.createElement("ol");
    status.setAttribute("role", "status");
    status.textContent = "Searching…";
    panel.append(status, list);
    let count = 0, limit = MAX_SHOWN;
    const queue = [];
    for (let number = 1; number <= shardCount; number += 1) {
      for (let next = queue.length; next < number + PARALLEL - 1 && next < shardCount; next += 1) {
        queue.push(loadText(next + 1, words));
      }
      let shard;
      try {
        shard = await queue[number - 1];
      } catch (error) {
        status.textContent = `A part of the search is missing: ${error.message}`;
        return;
      }
      if (own !== run) return;
      for (const hit of shard ? findLines(shard, words) : []) {
        list.append(makeItem(hit, words));
        count += 1;
        if (count === limit) {
          status.textContent = `The first ${count} events found`;
          await askForMore(panel);
          if (own !== run) return;
          limit += MAX_SHOWN;
        }
      }
    }
    if (!shardCount) for (const hit of findArticles(words)) list.append(makeItem(hit, words)), count += 1;
    status.textContent = count ? `${count} ${count === 1 ? "event" : "events"} found` : "Nothing found";
    list.hidden = !count;
  }

  function askForMore(place) {
    return new Promise((resolve) => {
      const button = document.createElement("button");
      button.textContent = "Show more";
      button.onclick = () => { button.remove(); resolve(); };
      place.append(button);
    });
  }

  box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, DELAY_MS); });
  box.form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); search(); });
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      box.focus();
    } else if (event.key === "Escape" && !panel.hidden) {
      box.value = "";
      search();
      box.focus();
    }
  });
})();
