"""The JSON contract: every command with --json, compared with a table and the reference page.

A command without a row here fails the last test. Each runs in this process on the sample data of
the permissions tests.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from pytest_django import Settings

from scaiwave.cli.command import ListCommand, OperatorCommand
from scaiwave.cli.verbs import VERBS, VerbPath, canonical_path
from scaiwave.config import load
from scaiwave.sandbox import Sandbox
from tests.authorisation_fixtures import SampleData
from tests.rooms.search.factories import backfill
from tests.scaiwave import row_factories
from tests.test_authorisation import ROWS, run, scaikey

__all__ = ["scaikey"]

PAGE = Path(__file__).parent.parent / "docs/reference/json-output.md"
KEY = re.compile(r"[a-z][a-z0-9_]*")
TIME = re.compile(r"\d{4}-\d\d-\d\dT")
OPAQUE = {"features", "details", "environment", "kinds", "drift", "unknown", "stripped"}
"""Objects whose keys are data, not names of the contract."""
BANNED = {
    *("at", "since", "until", "bytes", "size", "partner_id", "absent", "absent_since"),
    *("suspended_by_hand_at", "verdict", "why", "good", "already_there", "obstacles", "elsewhere"),
    *("reach", "created", "imported", "generated", "rotated", "revoked", "deleted", "would_change"),
    *("may_import", "may_sign_in", "still_through", "named_by", "nothing_signs", "audit"),
}


@dataclass(frozen=True)
class Shape:
    """The document of a command. `name` is the key of its list or its object."""

    name: str = ""
    others: frozenset[str] = frozenset()


class List(Shape):
    """{"<plural>": [...]}."""


class Item(Shape):
    """{"<noun>": {...}}."""


class Act(Shape):
    """{"<noun>": {...}, "changed": true, "dry_run": false}."""


class Report(Shape):
    """A flat document."""


def also(*names: str) -> frozenset[str]:
    return frozenset(names)


SHAPES: dict[VerbPath, Shape] = {
    ("sync",): Report(
        others=also(
            *(
                "run_id",
                "outcome",
                "kinds",
                "losses",
                "pending_removals",
                "requests",
                "duration_seconds",
                "plan",
                "purge",
            )
        )
    ),
    ("sync", "register"): Act("registration", also("outcome", "overridden_settings")),
    ("sync", "status"): Report(
        others=also(
            *("is_healthy", "problems", "registration", "credentials", "runs", "running"),
            *("lock", "interrupted", "last_success_at", "last_success_age_seconds", "schedule"),
            *("next_run_at", "skipped", "pending_removals", "webhooks", "drift", "drift_reason"),
            "warnings",
        )
    ),
    ("sync", "runs"): List("runs"),
    ("sync", "show-run"): List("changes", also("run")),
    ("sync", "losses"): List("losses", also("history_begins_at", "values_begin_at")),
    ("sync", "removals"): List("removals", also("tenants")),
    ("sync", "approve"): Act("removals", also("expires_at")),
    ("sync", "keep"): Act("removals", also("expires_at")),
    ("sync", "unlock"): Act("lock"),
    ("sync", "show-config"): Report(
        others=also("settings", "home", "env_file", "unknown", "warnings")
    ),
    ("sync", "export-env"): Item("environment"),
    ("admin", "list-tenants"): List("tenants"),
    ("admin", "show-tenant"): Item("tenant"),
    ("admin", "create-tenant"): Act("tenant"),
    ("admin", "link-tenant"): Act("tenant", also("next_sync_changes")),
    ("admin", "unlink-tenant"): Act("tenant"),
    ("admin", "list-partners"): List("partners"),
    ("admin", "list-participants"): List("participants", also("next_id")),
    ("admin", "show-participant"): Item("participant"),
    ("admin", "list-groups"): List("groups", also("next_id")),
    ("admin", "show-group"): Item("group"),
    ("admin", "update-tenant"): Act("tenant", also("changes", "warnings")),
    ("admin", "suspend-tenant"): Act("tenant"),
    ("admin", "resume-tenant"): Act("tenant"),
    ("admin", "suspend-participant"): Act("participant"),
    ("admin", "resume-participant"): Act("participant"),
    ("admin", "purge-participant"): Act("participant"),
    ("admin", "create-partner"): Act("partner"),
    ("admin", "show-partner"): Item("partner"),
    ("admin", "update-partner"): Act("partner", also("changes")),
    ("admin", "suspend-partner"): Act("partner"),
    ("admin", "resume-partner"): Act("partner"),
    ("admin", "create-workspace"): Act("workspace", also("owner")),
    ("admin", "create-administrator"): Act("administrator"),
    ("admin", "list-administrators"): List("administrators"),
    ("admin", "disable-administrator"): Act("administrator"),
    ("admin", "enable-administrator"): Act("administrator"),
    ("admin", "reset-administrator-password"): Act("administrator"),
    ("admin", "remove-administrator"): Act("administrator"),
    ("admin", "prune"): Act("pruned"),
    ("admin", "record-figures"): Act("figures"),
    ("admin", "refresh-usage"): Act(
        "usage", also("updated_tenants", "tenants_without_usage", "unknown_group_keys")
    ),
    ("admin", "audit"): List("audit_entries", also("next_id")),
    ("admin", "audit", "seal"): Act("seals", also("days", "entries", "accepted")),
    ("admin", "audit", "verify"): Report(
        others=also(
            *("intact", "seals", "entries", "first_day", "last_day", "pruned_through"),
            *("unsealed_entries", "newest_seal", "key_id", "problem_count", "problems"),
        )
    ),
    # A separate contract, docs/reference/audit-seal-format.md, in JSON Lines.
    ("admin", "audit", "export"): Shape(),
    ("admin", "federation", "key", "generate"): Act("key"),
    ("admin", "federation", "key", "rotate"): Act("key", also("previous_key")),
    ("admin", "federation", "key", "list"): List("keys"),
    ("admin", "federation", "key", "revoke"): Act("key", also("no_signing_key")),
    ("admin", "federation", "key", "check"): Report(others=also("keys")),
    ("admin", "federation", "key", "reencrypt"): Report(
        others=also("reencrypted", "unchanged", "changed", "dry_run")
    ),
    # A separate contract, because peers read it too.
    ("admin", "federation", "descriptor"): Shape(),
    # It needs a peer: tests/federation/peers/test_check_peer.py compares its document.
    ("admin", "federation", "check-peer"): Shape(),
    ("admin", "federation", "peer", "list"): List("peers"),
    ("admin", "federation", "peer", "show"): Item("peer"),
    ("admin", "federation", "peer", "forget"): Act("peer"),
    ("admin", "federation", "policy", "show"): Item("policy"),
    ("admin", "federation", "policy", "set"): Act("policy", also("changes")),
    ("role", "list"): List("roles"),
    ("role", "show"): Item("role"),
    ("role", "create"): Act("role"),
    ("role", "update"): Act("role", also("changes")),
    ("role", "delete"): Act("role", also("used_by")),
    ("role", "grant"): Act("role", also("group", "outcome")),
    ("role", "revoke"): Act("role", also("group", "remaining_paths")),
    ("room", "list"): List("rooms", also("next_id")),
    ("room", "show"): Item("room"),
    ("room", "workspaces"): List("workspaces"),
    ("room", "search"): List("messages"),
    ("room", "export"): Item(
        "room",
        also(
            *("window", "events", "senders", "media", "missing_media", "size_bytes"),
            *("manifest_sha256", "key_id", "file"),
        ),
    ),
    ("room", "import"): Act(
        "room",
        also("signature", "events", "stripped", "references_cut", "media", "warnings"),
    ),
    ("room", "archive"): Act("room"),
    ("room", "reopen"): Act("room"),
    ("room", "verify"): Report(
        others=also(
            *("valid", "room", "room_type", "server_name", "exported_at", "whole_room", "events"),
            *("senders", "media", "missing_media", "entries", "manifest_sha256", "signature"),
            "problems",
        )
    ),
    ("room", "search-index"): Report(others=also("run_id", "resumed", "tenants", "dry_run")),
    ("scaigrid", "check"): Report(others=also("ok", "steps")),
    ("admin", "show-deploy-file"): Item("deploy_file"),
    # They need Redis: tests/scaiwave/operations/jobs/test_job_commands.py compares their documents.
    ("worker",): Shape(),
    ("scheduler",): Shape(),
    ("jobs", "list"): List("jobs"),
    ("jobs", "show"): Shape(),
    ("jobs", "retry"): Shape(),
    ("jobs", "delete"): Shape(),
    ("jobs", "clear"): Shape(),
    ("doctor",): Report(others=also("healthy", "checks")),
    ("completion",): Item("completion"),
}
UNCHANGED = {
    *(("sync", "register"), ("sync", "unlock"), ("admin", "refresh-usage"), ("admin", "prune"))
}
"""Acts that change nothing here: the server is registered, no sync runs, and ScaiGrid lacks its
tenants."""
DESTRUCTIVE = {
    ("sync", "approve"),
    ("sync", "keep"),
    ("sync", "unlock"),
    ("admin", "suspend-participant"),
    ("admin", "purge-participant"),
    ("admin", "suspend-tenant"),
    ("admin", "suspend-partner"),
    ("admin", "disable-administrator"),
    ("admin", "remove-administrator"),
    ("admin", "prune"),
    ("admin", "unlink-tenant"),
    ("admin", "federation", "key", "revoke"),
    ("admin", "federation", "peer", "forget"),
    ("role", "delete"),
    ("role", "revoke"),
    ("jobs", "delete"),
    ("jobs", "clear"),
}


def get_command(words: VerbPath) -> OperatorCommand:
    name = VERBS[words].command
    command = load_command_class(get_commands()[name], name)
    assert isinstance(command, OperatorCommand)
    return command


def of_kind(*kinds: type[Shape], commits: bool) -> list[VerbPath]:
    return [
        words
        for words, shape in SHAPES.items()
        if isinstance(shape, kinds) and ROWS[words].commits is commits
    ]


@pytest.fixture
def sample(scaikey: Sandbox, tmp_path: Path, settings: Settings) -> SampleData:
    sample = SampleData.create(scaikey, tmp_path)
    row_factories.make_event(sample.room, 99)
    environment = {**sample.environment, "SCAIWAVE_REQUIRE_ADMIN_TOKEN": "false"}
    settings.CONFIG = load(environment)
    return sample


def get_arguments(words: VerbPath, sample: SampleData) -> list[str]:
    sample.create_keys(ROWS[words].keys)
    if words == ("room", "search"):
        backfill()
        return ["Grüße", "--tenant", sample.tenant.slug]
    return ROWS[words].arguments(sample)


def read_document(
    words: VerbPath, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    code, out = run(words, [*arguments, "--json"], monkeypatch)
    assert code == 0 or words == ("doctor",), out
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.django_db
@pytest.mark.parametrize("words", of_kind(List, Item, Act, Report, commits=False), ids=" ".join)
def test_success_document(
    words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_documented(words, sample, monkeypatch)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("words", of_kind(Item, Act, Report, commits=True), ids=" ".join)
def test_success_document_of_commands_with_transactions(
    words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_documented(words, sample, monkeypatch)


def assert_documented(words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, arguments = SHAPES[words], get_arguments(words, sample)
    expected = {*shape.others, shape.name} - {""}
    if isinstance(shape, Act):
        expected |= {"changed", "dry_run"}
        dry = read_document(words, [*arguments, "--dry-run"], monkeypatch)
        assert set(dry) == expected
        assert (dry["changed"], dry["dry_run"]) == (words not in UNCHANGED, True)
    document = read_document(words, arguments, monkeypatch)
    assert set(document) == expected
    if isinstance(shape, Act):
        assert (document["changed"], document["dry_run"]) == (words not in UNCHANGED, False)
    if isinstance(shape, List):
        assert isinstance(document[shape.name], list)
        assert document[shape.name]
    assert_names(document)
    assert match(document, read_page()[words]), "docs/reference/json-output.md"


def assert_names(value: Any, name: str = "") -> None:
    """Check the names of all keys, and that partners, times and sizes look alike everywhere."""
    if isinstance(value, list):
        for each in value:
            assert_names(each, name)
    elif isinstance(value, dict) and name not in OPAQUE:
        if name == "partner" and "status" not in value:
            assert set(value) == {"id", "slug", "name", "scaikey_id"}
        for key, each in value.items():
            assert KEY.fullmatch(key), key
            assert key not in BANNED, key
            assert_names(each, key)
    elif name == "partner":
        assert value is None
    elif isinstance(value, str) and TIME.match(value):
        assert name.endswith("_at"), name


def match(document: Any, documented: Any) -> bool:
    """Whether both have the same keys; null and an empty list match everything."""
    if document is None or documented is None or [] in (document, documented):
        return True
    if isinstance(document, dict):
        if not isinstance(documented, dict):
            return False
        if set(document) != set(documented):
            return documented == {}
        return all(match(document[key], documented[key]) for key in document)
    if isinstance(document, list):
        return isinstance(documented, list) and all(match(each, documented[0]) for each in document)
    return not isinstance(documented, dict | list)


def read_page() -> dict[VerbPath, Any]:
    """Return the documents of the reference page, by command, with the objects that they name."""
    text = PAGE.read_text(encoding="utf-8")
    block = r"\n.*?```json\n(.*?)```"
    (named,) = re.findall(rf"^## Objects{block}", text, re.MULTILINE | re.DOTALL)
    objects = json.loads(named)
    # A row may stand for several commands.
    rows = re.findall(r"^\| `([a-z` ,-]+)` \| `(\{.*\})` \|$", text, re.MULTILINE)
    rows += re.findall(rf"^### scaiwave ([^\n]+){block}", text, re.MULTILINE | re.DOTALL)
    return {
        tuple(command.split()): insert_objects(json.loads(document), objects)
        for commands, document in rows
        for command in commands.split("`, `")
    }


def insert_objects(value: Any, objects: dict[str, Any]) -> Any:
    """Replace `"<name>"` by the object of this name, and `"...": "<name>"` by its keys."""
    if isinstance(value, list):
        return [insert_objects(each, objects) for each in value]
    if isinstance(value, dict):
        filled = {key: insert_objects(each, objects) for key, each in value.items()}
        return {**filled.pop("...", {}), **filled}
    if isinstance(value, str) and (name := re.fullmatch(r"<(.+)>", value)):
        return insert_objects(objects[name[1]], objects)
    return value


@pytest.mark.django_db
@pytest.mark.parametrize("words", of_kind(List, commits=False), ids=" ".join)
def test_success_lists_have_a_limit_and_csv(
    words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = get_arguments(words, sample)
    first = read_document(words, [*arguments, "--limit=1"], monkeypatch)[SHAPES[words].name]
    assert len(first) == 1
    code, out = run(words, [*arguments, "--limit=1", "--csv"], monkeypatch)
    assert code == 0, out
    (line,) = csv.DictReader(io.StringIO(out))
    assert set(line) == set(flatten(first[0]))
    code, out = run(words, [*arguments, "--csv", "--json"], monkeypatch)
    assert (code, out) == (2, "SW_USAGE: Can't combine --json and --csv.")


def flatten(row: dict[str, Any]) -> Iterator[str]:
    for key in row:
        if key == "partner":
            yield from ("partner_id", "partner_slug", "partner_name", "partner_scaikey_id")
        else:
            yield key


@pytest.mark.parametrize("words", SHAPES, ids=" ".join)
def test_success_options(words: VerbPath) -> None:
    command, shape = get_command(words), SHAPES[words]
    assert isinstance(command, ListCommand) is isinstance(shape, List)
    options = command.create_parser("scaiwave", words[-1])._option_string_actions
    assert "--json" in options
    assert ("--yes" in options) is (words in DESTRUCTIVE)
    if isinstance(shape, List):
        assert {"--limit", "--csv"} <= set(options)
    if isinstance(shape, Act):
        assert "--dry-run" in options


def test_success_every_command_has_a_row() -> None:
    assert set(SHAPES) == {words for words in VERBS if not canonical_path(words)}
    assert set(read_page()) == set(SHAPES)
