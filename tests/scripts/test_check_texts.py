from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_texts import ALLOWED, PACKAGES, find_problems, find_stale_names


def find_in(directory: Path, text: str, name: str = "rooms/module.py") -> list[str]:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return list(find_problems(directory))


def test_fail_an_empty_directory(tmp_path: Path) -> None:
    assert len(list(find_stale_names(tmp_path))) == len(PACKAGES) + len(ALLOWED)


@pytest.mark.parametrize(
    "text",
    [
        "is_postponed = reason.startswith('postponed')",
        "cause = skip.reason.removeprefix('postponed: ')",
        "fix = ParticipantNotFound.fix.replace('<slug>', slug)",
        "word = (row.inactive_reason or '').removeprefix('suspended ')",
        "first = str(error.message).split('.')[0]",
        "match = re.search(r'--allow-removals (\\d+)`', run.error_fix)",
        "match = _COMMAND.search(row['error_fix'])",
        "is_about = 'tenant' in error.message.lower()",
        "is_limit = row.reason == OVER_LIMIT",
        "skips = SyncSkip.objects.filter(reason='x')",
        "skips = skips.exclude(Q(error_message__contains='limit'))",
        "changes = SyncChangeValues.objects.filter(change__reason='x')",
        "is_kept = text == 'removals are turned off'",
        "TEXT = 'removals are turned off'\nis_kept = text in (TEXT, other)",
        "TEXT = 'removals are turned off'\nsql = f\"WHERE reason = '{TEXT}'\"",
        "sql = \"SELECT 1 FROM plan WHERE reason = 'over the limit'\"",
        "shown = text.removesuffix(' of all people')",
    ],
)
def test_fail_a_text_is_used_as_data(tmp_path: Path, text: str) -> None:
    assert len(find_in(tmp_path, text)) == 1


def test_fail_a_constant_of_another_module(tmp_path: Path) -> None:
    find_in(tmp_path, "KEPT = 'removals are turned off'", "tenants/texts.py")
    text = "from tenants.texts import KEPT\nis_kept = given == KEPT"
    assert find_in(tmp_path, text) == ["rooms/module.py:2: given == KEPT"]


@pytest.mark.parametrize(
    "text",
    [
        "{% if run.error_message == 'x' %}",
        "{% if 'limit' in row.reason %}",
        "{{ run.error_fix|cut:'`' }}",
    ],
)
def test_fail_a_template_reads_a_text(tmp_path: Path, text: str) -> None:
    assert len(find_in(tmp_path, text, "rooms/templates/page.html")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "is_postponed = code in POSTPONED",
        "has_message = run.error_message != ''",
        "runs = SyncRun.objects.exclude(error_message='')",
        "skips = SyncSkip.objects.filter(reason_code__in=ON_PURPOSE)",
        "sql = \"SELECT 1 FROM plan WHERE reason = 'over_limit' AND kind = 'people'\"",
        "text = f'{run.error_message} {run.error_fix}'",
        "fix = FIX.format(slug)",
    ],
)
def test_success_data_and_texts_that_are_made(tmp_path: Path, text: str) -> None:
    assert find_in(tmp_path, text) == []
    template = "{% if run.error_message %}{{ run.error_fix }}{% endif %}"
    assert find_in(tmp_path, template, "rooms/templates/page.html") == []
