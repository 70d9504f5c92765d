"""The JSON contract: every command with --json, compared with the reference page.

A command without a document on the page fails the last test. Each runs in this process on the
sample data of the permissions tests.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from django.core.management import get_commands, load_command_class
from pytest_django import Settings

from scaiwave.cli.command import ListCommand, OperatorCommand
from scaiwave.cli.verbs import VERBS, VerbPath, canonical_path
from scaiwave.config import load
from scaiwave.sandbox import Sandbox
from tests.authorisation_fixtures import SampleData
from tests.authorisation_rows import ROWS
from tests.rooms.search.factories import backfill
from tests.scaiwave import row_factories
from tests.tenants.role_factories import make_grant
from tests.test_authorisation import run, scaikey

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


ELSEWHERE: set[VerbPath] = {
    # Contracts of their own: one in JSON Lines, docs/reference/audit-seal-format.md, and one that
    # peers read.
    ("admin", "audit", "export"),
    ("admin", "federation", "descriptor"),
    # They need a peer or Redis: tests/federation/peers/test_check_peer.py and
    # tests/scaiwave/operations/jobs/test_job_commands.py compare their documents.
    ("admin", "federation", "check-peer"),
    *(("worker",), ("scheduler",), ("jobs", "list"), ("jobs", "show"), ("jobs", "retry")),
    *(("jobs", "delete"), ("jobs", "clear"), ("jobs", "schedule")),
    # Its process uses another database from then on: tests/scaiwave/operations/backup.
    ("admin", "restore"),
    # It needs a mail server: tests/scaiwave/operations/test_notifications.py.
    ("admin", "send-test-notification"),
}
"""Commands whose documents other tests compare with the reference page."""
UNCHANGED = {
    *(("sync", "register"), ("sync", "unlock"), ("admin", "refresh-usage"), ("admin", "prune")),
    ("admin", "federation", "key", "reencrypt"),
}
"""Acts that change nothing here: the server is registered, no sync runs, ScaiGrid lacks its
tenants, and the newest key encrypts all."""


def is_bulk(words: VerbPath) -> bool:
    return words[-1].startswith(("suspend-", "resume-", "grant", "revoke")) and len(words) == 2


def get_command(words: VerbPath) -> OperatorCommand:
    name = VERBS[words].command
    command = load_command_class(get_commands()[name], name)
    assert isinstance(command, OperatorCommand)
    return command


def list_verb_paths(*, commits: bool = False, lists: bool = False) -> list[VerbPath]:
    """Return the commands whose documents are compared here, or only those that list rows."""
    return [
        words
        for words in VERBS
        if not canonical_path(words)
        and words not in ELSEWHERE
        and words in ROWS  # test_authorisation.py fails for a command without a row
        and ROWS[words].commits is commits
        and (isinstance(get_command(words), ListCommand) or not lists)
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
    if words == ("role", "members"):
        make_grant(sample.get_role("crew-lead"), sample.anna)
    return ROWS[words].arguments(sample)


def read_document(
    words: VerbPath, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    code, out = run(words, [*arguments, "--json"], monkeypatch)
    assert code == 0 or words == ("doctor",), out
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.django_db
@pytest.mark.parametrize("words", list_verb_paths(), ids=" ".join)
def test_success_document(
    words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_documented(words, sample, monkeypatch)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("words", list_verb_paths(commits=True), ids=" ".join)
def test_success_document_of_commands_with_transactions(
    words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_documented(words, sample, monkeypatch)


def assert_documented(words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch) -> None:
    documented, arguments = read_page().get(words), get_arguments(words, sample)
    assert documented is not None, f"{PAGE} lacks the document of `{' '.join(words)}`: add a row."
    is_act = {"changed", "dry_run"} <= set(documented)
    if is_act:
        dry = read_document(words, [*arguments, "--dry-run"], monkeypatch)
        assert set(dry) == set(documented)
        assert (dry["changed"], dry["dry_run"]) == (words not in UNCHANGED, True)
    document = read_document(words, arguments, monkeypatch)
    if is_act:
        assert (document["changed"], document["dry_run"]) == (words not in UNCHANGED, False)
    if isinstance(get_command(words), ListCommand):
        assert isinstance(document[get_list_name(words)], list)
        assert document[get_list_name(words)]
    assert_names(document)
    differences = sorted(set(find_differences(document, documented)))
    assert not differences, f"{PAGE} documents other keys of `{' '.join(words)}`: {differences}"


def get_list_name(words: VerbPath) -> str:
    """Return the key of the rows, which comes first in the document of a list."""
    return str(next(iter(read_page()[words])))


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
    return not any(find_differences(document, documented))


def find_differences(document: Any, documented: Any, path: str = "") -> Iterator[str]:
    """Yield the path and the keys of each object that is documented with other keys."""
    if document is None or documented is None or [] in (document, documented):
        return
    if isinstance(document, dict) and isinstance(documented, dict):
        if documented and (keys := set(document) ^ set(documented)):
            yield f"{path or 'document'}: {', '.join(sorted(keys))}"
        elif documented:
            for key in document:
                yield from find_differences(document[key], documented[key], f"{path}.{key}")
    elif isinstance(document, list) and isinstance(documented, list):
        for each in document:
            yield from find_differences(each, documented[0], f"{path}[]")
    elif isinstance(document, dict | list) or isinstance(documented, dict | list):
        yield f"{path or 'document'}: not {type(documented).__name__}"


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
@pytest.mark.parametrize("words", list_verb_paths(lists=True), ids=" ".join)
def test_success_lists_have_a_limit_and_csv(
    words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = get_arguments(words, sample)
    first = read_document(words, [*arguments, "--limit=1"], monkeypatch)[get_list_name(words)]
    assert len(first) == 1
    code, out = run(words, [*arguments, "--limit=1", "--csv"], monkeypatch)
    assert code == 0, out
    (line,) = csv.DictReader(io.StringIO(out))
    assert set(line) == set(flatten(first[0])), f"`keys` of `{' '.join(words)}` differ from a row."
    code, out = run(words, [*arguments, "--csv", "--json"], monkeypatch)
    assert (code, out) == (2, "SW_USAGE: Can't combine --json and --csv.")


@pytest.mark.django_db
@pytest.mark.parametrize("words", list_verb_paths(lists=True), ids=" ".join)
def test_success_lists_continue_after_next_id(
    words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = get_arguments(words, sample)
    whole = read_document(words, [*arguments, "--limit=100000"], monkeypatch)
    name, command = get_list_name(words), get_command(words)
    assert isinstance(command, ListCommand)
    assert (whole["next_id"], whole["total"]) == (None, len(whole[name]))
    ids: list[Any] = []
    after: list[str] = []
    limit = f"--limit={max(1, len(whole[name]) // 3)}"
    for _ in range(len(whole[name])):
        page = read_document(words, [*arguments, limit, *after], monkeypatch)
        ids += map(command.get_id, page[name])
        assert page["total"] in (len(whole[name]), None)
        if page["next_id"] is None:
            break
        after = [f"--after={page['next_id']}"]
    assert ids == [*map(command.get_id, whole[name])]


@pytest.mark.django_db
@pytest.mark.parametrize("words", [words for words in ROWS if is_bulk(words)], ids=" ".join)
def test_success_several_records_have_the_keys_of_one(
    words: VerbPath, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    documented, arguments = read_page()[words], get_arguments(words, sample)
    repeated = arguments[1:3] if words[0] == "role" else arguments[:1]

    def combine(more: list[str]) -> list[str]:
        names = arguments[:1] if words[0] == "role" else []
        return [*names, *more, *arguments[len(names) :], "--json", "--yes"]

    code, out = run(words, combine(repeated), monkeypatch)
    document = json.loads(out)
    assert (code, document["changed"], document["dry_run"]) == (0, True, False)
    (row,) = document["results"]
    assert set(row) == {*documented, "name", "error"} - {"dry_run"}
    assert match({**row, "dry_run": False}, {**documented, "name": "…", "error": None})
    unknown = [*repeated[:-1], "unknown"]
    code, out = run(words, combine(unknown), monkeypatch)
    assert (code, out) == (
        1,
        "SW_ROWS_FAILED: 1 of 2 failed: unknown. No changes were made.",
    )
    printed = cast(io.BytesIO, sys.stdout.buffer).getvalue()
    results = json.loads(printed)["results"]
    assert [set(each) for each in results] == [set(row), set(row)]
    assert [each["changed"] for each in results] == [False, False]


def flatten(row: dict[str, Any]) -> Iterator[str]:
    for key in row:
        if key == "partner":
            yield from ("partner_id", "partner_slug", "partner_name", "partner_scaikey_id")
        else:
            yield key


@pytest.mark.parametrize("words", read_page(), ids=" ".join)
def test_success_options(words: VerbPath) -> None:
    command, documented = get_command(words), read_page()[words]
    options = command.create_parser("scaiwave", words[-1])._option_string_actions
    assert "--json" in options
    assert options["--yes"] is options["--no-input"]
    if isinstance(command, ListCommand):
        assert {"--limit", "--csv"} <= set(options)
    if "dry_run" in documented:
        assert "--dry-run" in options


def test_success_every_command_has_a_document() -> None:
    documented = set(read_page())
    commands = {words for words in VERBS if not canonical_path(words)}
    assert documented == commands, f"{PAGE} lacks rows of {commands - documented}, or has others."
