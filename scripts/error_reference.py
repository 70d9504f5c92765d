"""The page of every `SW_…` code, from the tree of errors and the words in scripts/remedies."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scaiwave.errors import ScaiWaveError
from scripts.remedies import REMEDIES, Words

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = "reference/troubleshooting.md"
APPS = ("scaiwave", "tenants", "federation", "rooms", "identity_sync")
DECLARED = 'code = "SW_'
"""How a class says its code; what else is in its module needs no import."""

# Title, and how its codes begin; the longest beginning decides.
AREAS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "The command line",
        ("USAGE", "CONFIRMATION_NEEDED", "DECLINED", "NAME_", "INTERRUPTED", "TERMINATED"),
    ),
    ("Configuration", ("CONFIG_", "FILE_", "VALUE_", "LIBRARY_")),
    (
        "Database, disks and Redis",
        ("DATABASE_", "DISK_", "REDIS_", "QUEUE_", "MEDIA_", "CLOCK_", "APPEND_", "AUDIT_"),
    ),
    ("The operator's token", ("AUTH_",)),
    ("Other servers", ("UPSTREAM_",)),
    ("Registration", ("REGISTRATION_", "CREDENTIALS_")),
    ("Sync", ("SYNC_",)),
    ("Webhooks from ScaiKey", ("WEBHOOK_",)),
    (
        "Tenants, partners and people",
        ("TENANT_", "PARTNER_", "PARTICIPANT_", "GROUP_", "ADMINISTRATOR_"),
    ),
    ("Roles", ("ROLE_",)),
    ("Rooms", ("ROOM_", "WORKSPACE_", "CONTENT_", "NOT_MEMBER")),
    ("Bundles", ("BUNDLE_",)),
    ("Search", ("SEARCH_",)),
    ("Federation", ("FEDERATION_", "SIGNATURE_")),
    ("AI", ("AI_",)),
    ("The HTTP API", ("REQUEST_", "METHOD_", "NOT_FOUND")),
    ("Publishing the docs", ("DOCS_",)),
    ("The sandbox", ("SANDBOX_",)),
    ("Defects", ("INTERNAL",)),
)


class WordsMissing(Exception):
    """The page can't be written: a code without words or area, or words without a code."""


@dataclass(frozen=True)
class Entry:
    """One code; `exit_codes` and `statuses` are several where its classes differ."""

    code: str
    exit_codes: str
    statuses: str
    meaning: str
    remedy: str


def entries(remedies: dict[str, Words] | None = None) -> list[Entry]:
    """Every code in alphabetical order. Raises `WordsMissing`, naming every one that lacks."""
    remedies = REMEDIES if remedies is None else remedies
    found = [_entry(code, classes, remedies) for code, classes in sorted(_by_code().items())]
    wrong = [entry.code for entry in found if not (entry.meaning and entry.remedy)]
    if wrong:
        raise WordsMissing(f"scripts/remedies lacks words for {', '.join(wrong)}.")
    if left := sorted(set(remedies) - {entry.code for entry in found}):
        raise WordsMissing(f"scripts/remedies has words for {', '.join(left)}, which no error has.")
    return found


def _by_code() -> dict[str, list[type[ScaiWaveError]]]:
    """Classes that state a code of their own; those that don't are branches of the tree."""
    for module in _modules():
        importlib.import_module(module)
    found: dict[str, list[type[ScaiWaveError]]] = {}
    for error in _family(ScaiWaveError):
        if "code" in vars(error) and error.__module__.partition(".")[0] in APPS:
            found.setdefault(error.code, []).append(error)
    return found


def _modules() -> Iterator[str]:
    top = Path(__file__).resolve().parent.parent
    for app in APPS:
        for path in sorted((top / app).rglob("*.py")):
            if DECLARED in path.read_text(encoding="utf-8"):
                yield ".".join(path.relative_to(top).with_suffix("").parts)


def _family(error: type[ScaiWaveError]) -> Iterator[type[ScaiWaveError]]:
    yield error
    for heir in error.__subclasses__():
        yield from _family(heir)


def _entry(code: str, classes: list[type[ScaiWaveError]], remedies: dict[str, Words]) -> Entry:
    meaning, remedy = remedies.get(code, ("", ""))
    return Entry(
        code,
        _several(error.exit_code for error in classes),
        _several(error.http_status for error in classes),
        meaning or next(filter(None, map(_first_paragraph, classes)), ""),
        remedy
        or next((error.remedy for error in classes if error.remedy), "")
        or next((error.fix for error in classes if error.fix), ""),
    )


def _several(numbers: Iterator[int]) -> str:
    return ", ".join(map(str, sorted(set(numbers))))


def _first_paragraph(error: type[ScaiWaveError]) -> str:
    own = inspect.cleandoc(vars(error).get("__doc__") or "")
    return " ".join(own.partition("\n\n")[0].split())


def by_area(found: list[Entry]) -> dict[str, list[Entry]]:
    """In the order of `AREAS`. Raises `WordsMissing` for a code that fits none."""
    areas: dict[str, list[Entry]] = {title: [] for title, _ in AREAS}
    for entry in found:
        areas[_area(entry.code)].append(entry)
    return areas


def _area(code: str) -> str:
    name = code.removeprefix("SW_")
    fits = [
        (len(beginning), title)
        for title, beginnings in AREAS
        for beginning in beginnings
        if name.startswith(beginning)
    ]
    if not fits:
        raise WordsMissing(f"scripts/error_reference.py has no area for {code}.")
    return max(fits)[1]


INTRODUCTION = """
Find the code of an error here. An error is one line of what happened and one of how to go on, and
the code is in square brackets at the end of the first; with `--json` both are one line of JSON on
stderr. Codes are stable, so scripts may rely on them; messages are for people and may change.

```console
$ scaiwave admin show-tenant nowhere
Error: There is no tenant 'nowhere'. [SW_TENANT_NOT_FOUND]
  Fix: `scaiwave admin list-tenants` shows those you may see; `scaiwave sync` fetches new ones.
```

*Exit* is the exit code of the verb, *HTTP* the status where the HTTP API says it. What the error
itself says is more exact than this page: it knows the name, the file and the flag.

## Where to look first

1. `scaiwave doctor` looks at configuration, database, Redis, disks, keys, ScaiKey, clocks and the
   schedule, and says how to mend what it finds.
2. `scaiwave sync status` shows the registration, the last runs and how they ended. A run that was
   killed shows `SW_SYNC_INTERRUPTED`: no partial changes were made, and the next run continues.
3. The same verb with `-v 3` logs each step to stderr.
4. `scaiwave admin audit` says who changed what.
5. On a bad day, such as people deactivated by mistake, lost keys or a leaked secret:
   [Disaster](disaster.md).

`SW_AI_NO_TOKEN` is not in the tables: the platform's servers say it, when they have no way to
ScaiGrid. `python scripts/scaigrid_service_token_smoke.py` finds out why:
[When the AI does not answer](ai.md#when-the-ai-does-not-answer).

## When it is a defect

A traceback at the console (exit code 1), or `SW_INTERNAL` in an answer of the HTTP API or in the
record of a sync, is a defect of this suite. A verb that fails so has rolled back what it was doing.
Report it with:

* the traceback; for the HTTP API it is in the log of the web server, below `A defect at …`;
* the command as it was typed, and what `scaiwave doctor --json` and
  `scaiwave --version` print;
* which database, and whether it happens again.

Look through it before you send it. This suite masks its own secrets, but a traceback may hold names
of people and rooms.
""".strip("\n")


def troubleshooting() -> str:
    """Return the page below its heading."""
    return link_pages("\n".join(_sections()))


def link_pages(text: str) -> str:
    """Complete links such as `](roles.md#slugs)`: errors name a page without its directory.

    Raises `WordsMissing` for a page that does not exist.
    """
    return re.sub(r"\]\(([a-z-]+\.md)", lambda link: f"]({_path_to(link[1])}", text)


def _path_to(page: str) -> str:
    paths = list(DOCS.rglob(page))
    if len(paths) != 1:
        raise WordsMissing(f"An error links to {page}, which is not a page of docs/.")
    return os.path.relpath(paths[0], (DOCS / PAGE).parent)


def _sections() -> Iterator[str]:
    yield f"\n{INTRODUCTION}"
    for title, listed in by_area(entries()).items():
        if listed:
            yield f"\n## {title}\n\n| code | exit | HTTP | what it means | what to do |"
            yield "|---|---|---|---|---|"
            yield from map(_row, listed)


def _row(entry: Entry) -> str:
    cells = (entry.exit_codes, entry.statuses, entry.meaning, entry.remedy)
    return f"| `{entry.code}` | " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    """Angle brackets are no HTML, outside of code as well as in it."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(
        part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts)
    )
