"""The text of a message as HTML: Markdown without HTML, images or reference links, and links.

Escapes and entities stay as they were written, so a reader sees the typed text. Most texts
have no markup, and only the others are parsed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from rooms.transcripts.wording import reveal

if TYPE_CHECKING:
    from collections.abc import Callable

    from markdown_it import MarkdownIt

MAX_MARKDOWN_CHARS = 10_000
"""Longer texts are shown as they are: some take the parser minutes."""
_BLOCK_MARKUP = re.compile(r"^[ ]{0,3}(?:>|#|[-+] |[0-9]{1,9}[.)] |---)", re.MULTILINE)
_LINK = re.compile(r"\b(?:https?://|mailto:)[^\s<>\"'“”]*[^\s<>\"'“”.,;:!?)\]}]")
_SAFE_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+\Z", re.IGNORECASE)
_PARAGRAPHS = re.compile(r"\n\s*\n")


def escape_text(text: str) -> str:
    """Escape for text and for attributes in double quotation marks, and reveal controls."""
    return escape(reveal(text))


def format_message(text: str) -> str:
    """Return the paragraphs of a message."""
    if not text.strip():
        return ""
    text = reveal(text)
    if _has_markup(text) and len(text) <= MAX_MARKDOWN_CHARS:
        return str(_get_parser().render(text)).rstrip("\n")
    if "\n" not in text:
        return f'<p dir="auto">{_format_line(text)}</p>'
    paragraphs = filter(None, _PARAGRAPHS.split(text.strip("\n")))
    return "".join(
        f'<p dir="auto">{_format_line(each).replace(chr(10), "<br>")}</p>' for each in paragraphs
    )


def _has_markup(text: str) -> bool:
    # A regular expression for these signs would take ten times as long.
    if "*" in text or "_" in text or "`" in text or "~" in text or "|" in text or "](" in text:
        return True
    find = _BLOCK_MARKUP.search if "\n" in text else _BLOCK_MARKUP.match
    return find(text) is not None


def _format_line(text: str) -> str:
    """Escape a text and link the addresses in it."""
    if "://" not in text and "mailto:" not in text:
        return escape(text)
    parts, end = [], 0
    for match in _LINK.finditer(text):
        address = escape(match[0])
        parts += [escape(text[end : match.start()]), f"<a{_LINK_ATTRIBUTES} href=", f'"{address}">',
                  address, "</a>"]  # fmt: skip
        end = match.end()
    return "".join([*parts, escape(text[end:])])


_LINK_ATTRIBUTES = ' rel="noreferrer noopener" target="_blank"'


@lru_cache(1)
def _get_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": False})
    parser.enable(["strikethrough", "table"])
    parser.disable(
        ["image", "html_block", "html_inline", "reference", "escape", "entity", "autolink",
         "lheading", "code"]
    )  # fmt: skip
    parser.validateLink = lambda url: bool(_SAFE_LINK.match(url))  # type: ignore[method-assign]
    rules: dict[str, Callable[..., str]] = {
        "text": _render_text,
        "link_open": _render_link_open,
        "link_close": _render_link_close,
        # A message's headings are no headings of the page.
        "heading_open": lambda *_: '<p dir="auto"><strong>',
        "heading_close": lambda *_: "</strong></p>\n",
        "paragraph_open": lambda _, tokens, index, *rest: (
            "" if tokens[index].hidden else '<p dir="auto">'
        ),
        "fence": lambda _, tokens, index, *rest: format_code(
            tokens[index].content, tokens[index].info
        ),
    }
    for name, rule in rules.items():
        parser.add_render_rule(name, rule)
    return parser


def _render_text(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    content = tokens[index].content
    return escape(content) if env.get("link") else _format_line(content)


def _render_link_open(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    env["link"] = True
    return f'<a{_LINK_ATTRIBUTES} href="{escape(tokens[index].attrs["href"])}">'


def _render_link_close(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    env["link"] = False
    return "</a>"


def format_code(code: str, language: str = "") -> str:
    label = f"<figcaption>{escape_text(language)}</figcaption>" if language.strip() else ""
    return f'<figure class="code">{label}<pre tabindex="0">{escape_text(code)}</pre></figure>\n'
