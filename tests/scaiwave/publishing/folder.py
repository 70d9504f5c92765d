"""A folder of pages for a test."""

from __future__ import annotations

from pathlib import Path


def page(title: str, path: str, /, *, text: str = "Text.", **fields: str) -> str:
    """A page as it lies in the folder, sound unless `fields` says otherwise."""
    front = {
        "title": title,
        "path": path,
        "audience": "operators",
        "summary": "What it says.",
        "status": "published",
        **fields,
    }
    lines = [f"{name}: {value}" for name, value in front.items()]
    return "\n".join(["---", *lines, "---", "", f"# {title}", "", text, ""])


def put(docs: Path, file: str, content: str) -> Path:
    target = docs / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8")
    return target
