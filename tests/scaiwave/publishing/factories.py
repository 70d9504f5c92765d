"""Pages for tests."""

from __future__ import annotations

from pathlib import Path


def make_page(title: str, path: str, /, *, text: str = "Text.", **fields: str) -> str:
    """Return the source of a page, valid unless `fields` overrides that."""
    front = {
        "title": title,
        "path": path,
        "audience": "operators",
        "summary": "A summary.",
        "status": "published",
        **fields,
    }
    lines = [f"{name}: {value}" for name, value in front.items()]
    return "\n".join(["---", *lines, "---", "", f"# {title}", "", text, ""])


def write_page(docs: Path, file: str, content: str) -> Path:
    target = docs / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8")
    return target
