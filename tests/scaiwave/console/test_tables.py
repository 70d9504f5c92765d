"""Pictures of the main lists at terminals of 60, 80 and 120 columns.

A changed picture is written beside the expected one, as `<list>.txt.new`: rename it if it is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from django.core.management import get_commands, load_command_class

from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import EMPTY_CELL
from scaiwave.console.rich_output import print_rich_table
from scaiwave.console.text import display_width

WIDTHS = (60, 80, 120)
TIME, ID = "2026-12-01 12:03:09 CET", "01a2318e-a75b-74fe-8087-60ba44d932e0"
ANNA = {
    "display_name": "Anna de Vries-Łukasiewicz",
    "email": "anna.devries@thalassa.example",
    "fqid": "@anna.devries:chat.example.com",
    "type": "human",
    "status": "active",
}
NOOR = {
    "display_name": "Noor",
    "fqid": "@noor:chat.example.com",
    "type": "human",
    "status": "suspended",
    "reason": "suspended manually",
}
ROOM = {
    "id": ID,
    "type": "group",
    "state": "open",
    "workspace": "sales",
    "members": "1,204",
    "events": "81,234",
    "media_bytes": "29.3 GiB",
    "last_event_at": TIME,
    "exportable": "yes",
}
RUN = {"started_at": TIME, "trigger": "scheduled", "changes": "1,204", "duration": "1 min 3 s"}
FAILED = {"outcome": "failed", "error_code": "SW_SCAIKEY_UNREACHABLE", "changes": "0"}
PERSON_LOST = {"tenant": "thalassa", "who": "Anna de Vries-Łukasiewicz", "email": ANNA["email"]}

LISTS: dict[str, tuple[str, dict[str, Any], list[dict[str, str]]]] = {
    "list_tenants": (
        "list_tenants",
        {"near_limit": False},
        [
            {
                "slug": "thalassa",
                "name": "Thalassa Chemicals & Co",
                "members": "12,345",
                "rooms": "300",
                "storage_bytes": "87.9 GiB",
                "status": "active",
                "partner": "northwind",
            },
            {
                "slug": "acme-logistics",
                "name": "日本語の会社",
                "members": "97",
                "rooms": "3",
                "storage_bytes": "0 B",
                "status": "suspended",
            },
        ],
    ),
    "list_tenants_by_tokens": (
        "list_tenants",
        {"near_limit": False, "sort": "tokens"},
        [
            {
                "slug": "acme-logistics",
                "name": "Acme Logistics",
                "members": "97",
                "rooms": "3",
                "storage_bytes": "87.9 KiB",
                "status": "suspended",
                "ai_tokens_month": "91,000 (91%)",
                "partner": "alder",
            }
        ],
    ),
    "list_participants": (
        "list_participants",
        {"tenant": "thalassa"},
        [ANNA, NOOR],
    ),
    "list_participants_of_all": (
        "list_participants",
        {"tenant": None},
        [{**ANNA, "tenant": "thalassa"}, {**NOOR, "tenant": "acme-logistics"}],
    ),
    "list_rooms": (
        "list_rooms",
        {"tenant": "acme", "deleted": False, "sort": "name"},
        [{**ROOM, "name": "Projekt Grün"}, {**ROOM, "name": "Lobby", "state": "archived"}],
    ),
    "list_rooms_of_all_by_media": (
        "list_rooms",
        {"tenant": None, "deleted": False, "sort": "media"},
        [{**ROOM, "name": "Projekt Grün", "tenant": "thalassa"}],
    ),
    "sync_runs": (
        "sync_runs",
        {},
        [
            {**RUN, "short_id": "01a2318e-cc5e", "tenant": "acme", **FAILED},
            {**RUN, "short_id": "01a23189-29ea", "outcome": "applied"},
        ],
    ),
    "sync_runs_of_all_tenants": (
        "sync_runs",
        {},
        [
            {**RUN, "short_id": "01a2318e-cc5e", **FAILED},
            {**RUN, "short_id": "01a23189-29ea", "outcome": "planned", "changes": "0 (22 planned)"},
        ],
    ),
    "list_roles": (
        "list_roles",
        {"tenant": None},
        [
            {
                "tenant": "thalassa",
                "slug": "tenant_admin",
                "name": "Tenant Administrator",
                "built_in": "yes",
                "participants": "3",
                "groups": "1",
                "holders": "1,204",
            }
        ],
    ),
    "sync_losses": (
        "sync_losses",
        {},
        [
            {
                "lost_at": TIME,
                "run": "01a2318e-cc5e",
                **PERSON_LOST,
                "lost": "group Crew",
                "why": "removed in ScaiKey",
                "is_back": "no",
            }
        ],
    ),
    "sync_removals": (
        "sync_removals",
        {},
        [
            {
                "id": ID,
                **PERSON_LOST,
                "loss": "role super_admin",
                "state": "pending",
                "reason": "1,204 removals exceed the limit",
                "first_seen_at": TIME,
            }
        ],
    ),
    "list_role_members": (
        "list_role_members",
        {},
        [
            {
                **{key: ANNA[key] for key in ("display_name", "fqid", "status")},
                "tenant": "thalassa",
                "way": "Crew > Staff",
                "granted_by": "root",
                "granted_at": TIME,
            }
        ],
    ),
    "list_audit": (
        "list_audit",
        {"details": False},
        [
            {
                "created_at": TIME,
                "by": "anna.devries@thalassa.example",
                "origin": "chat-1",
                "action": "admin suspend-participant",
                "on": "Noor (@noor:chat.example.com)",
            }
        ],
    ),
    "list_keys": (
        "list_keys",
        {},
        [
            {
                "key_id": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "state": "signing",
                "created_at": TIME,
                "signing_starts_at": TIME,
                "verification_ends_at": TIME,
                "days_left": "364",
            }
        ],
    ),
    "list_schedule": (
        "list_schedule",
        {},
        [
            {
                "name": "full_sync",
                "schedule": "every 10 minutes, from minute 3 of the hour",
                "next": "in 6 min",
                "last": "4 min ago",
                "outcome": "failed",
                "started_by": "scheduler",
                "error": "SW_SCAIKEY_UNREACHABLE",
                "command": "sync --scheduled --wait 60",
            },
            {
                "name": "purge_participants",
                "schedule": "every day at 4:23",
                "error": "SCAIWAVE_PURGE_AFTER_DAYS is 0.",
                "command": "admin purge-participant --purge-after <days> --yes",
            },
        ],
    ),
    "list_jobs": (
        "list_jobs",
        {},
        [
            {
                "id": "full_sync-1795608180",
                "name": "full_sync",
                "state": "failed",
                "enqueued_at": TIME,
                "started_at": TIME,
                "error": "SW_SCAIKEY_UNREACHABLE",
            }
        ],
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_success_pictures(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command_name, options, rows = LISTS[name]
    command = cast(ListCommand, load_command_class(get_commands()[command_name], command_name))
    values = {each.name: options.get(each.name) for each in fields(command.arguments)}
    columns = command.get_columns(command.arguments(**values))
    assert {key for row in rows for key in row} <= {column.key for column in columns}
    cells = [[row.get(column.key, EMPTY_CELL) for column in columns] for row in rows]
    pictures = []
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        stream = StringIO()
        print_rich_table(columns, cells, stream, sort=options.get("sort", ""))
        lines = [line.rstrip() for line in stream.getvalue().splitlines()]
        assert max(map(display_width, lines)) <= width
        assert_words_are_whole(lines, cells)
        pictures += [f"{width} ".ljust(width, "="), *lines]
    expected = Path(__file__).with_name("tables") / f"{name}.txt"
    shown = "\n".join(pictures).rstrip() + "\n"
    if not expected.is_file() or expected.read_text(encoding="utf-8") != shown:
        expected.with_suffix(".txt.new").write_text(shown, encoding="utf-8")
        pytest.fail(f"The table looks different:\n{shown}")


def assert_words_are_whole(lines: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    known = {word for line in cells for cell in line for word in cell.split()}
    for piece in {piece for line in lines for piece in line.split()} - known:
        broken = [word for word in known if len(piece) > 5 and word.startswith(piece)]
        assert not broken, f"{broken} is broken"
