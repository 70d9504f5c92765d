"""Permissions of the scripts that act as an operator: as for the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pytest_django import Settings

from rooms.search.backfill import backfill_search, enqueue_backfill
from rooms.search.queries import BackfillOptions, get_search_plan
from scaiwave.auth.identify import identify_operator
from scaiwave.cli.verbs import VERBS, canonical_path
from scaiwave.clients.scaicms import ScaiCmsClient
from scaiwave.config import load
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator
from scaiwave.publishing.publish import publish
from scaiwave.sandbox import Sandbox
from tests.authorisation_fixtures import SampleData
from tests.authorisation_outcomes import (
    ALL_REFUSED,
    LOOK_AT_PLATFORM,
    OPERATORS,
    PLATFORM,
    SUPER,
    WRITE,
)
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.scaiwave.publishing.factories import make_page, write_page
from tests.scaiwave.row_factories import NOW
from tests.test_authorisation import make_token, read_tables


def plan_search(operator: Operator) -> int:
    get_search_plan(operator=operator, options=BackfillOptions())
    return 0


def fill_search(operator: Operator) -> int:
    backfill_search(operator=operator, options=BackfillOptions(), clock=lambda: NOW)
    return 0


def enqueue_search(operator: Operator) -> int:
    enqueue_backfill(operator=operator, options=BackfillOptions(), now=NOW)
    return 0


def publish_pages(operator: Operator, *, execute: bool) -> int:
    with Sandbox(people=1, tenants=1) as scaicms, TemporaryDirectory() as docs:
        write_page(Path(docs), "a.md", make_page("A", "suite/a"))
        with ScaiCmsClient(scaicms.url, scaicms.scaicms.api_key) as client:
            report = publish(
                operator=operator,
                docs=Path(docs),
                client=client,
                execute=execute,
                prune=(),
                progress=lambda done, total: None,
            )
    report.raise_failures()
    return 0


def plan_publication(operator: Operator) -> int:
    return publish_pages(operator, execute=False)


def publish_docs(operator: Operator) -> int:
    return publish_pages(operator, execute=True)


Acts = list[tuple[Callable[[Operator], int], dict[str, int]]]
# By file name: what the script calls with its operator, and the exit code for each operator.
SCRIPTS: dict[str, Acts] = {
    "publish_docs.py": [(plan_publication, LOOK_AT_PLATFORM), (publish_docs, PLATFORM)],
}
# The command that scripts/backfill_search_index.py runs.
SEARCH_INDEX: Acts = [
    (plan_search, LOOK_AT_PLATFORM),
    (fill_search, PLATFORM),
    # There is no queue, but only operators with the permission get so far.
    (enqueue_search, {**ALL_REFUSED, SUPER: 2, WRITE: 2}),
]
ACTS = [
    pytest.param(*act, id=act[0].__name__)
    for acts in (*SCRIPTS.values(), SEARCH_INDEX)
    for act in acts
]


@pytest.fixture(scope="module")
def scaikey() -> Iterator[Sandbox]:
    with Sandbox(people=3, tenants=2, partners=2, groups=1, seed=8) as running:
        yield running


@pytest.mark.django_db
@pytest.mark.parametrize("operator_type", OPERATORS)
@pytest.mark.parametrize(("act", "codes"), ACTS)
def test_success_only_permitted_operators_succeed(
    act: Callable[[Operator], int],
    codes: dict[str, int],
    operator_type: str,
    scaikey: Sandbox,
    tmp_path: Path,
    settings: Settings,
) -> None:
    sample = SampleData.create(scaikey, tmp_path)
    settings.CONFIG = load(
        {**sample.environment, "SCAIWAVE_ADMIN_TOKEN": make_token(scaikey, sample, operator_type)}
    )
    before = read_tables()
    try:
        code, message = act(identify_operator(settings.CONFIG)), ""
    except ScaiWaveError as error:
        code, message = error.exit_code, f"{error.code}: {error.message}"
    assert code == codes[operator_type], message
    if code:
        assert read_tables() == before


def test_success_every_script_with_an_operator_has_a_row() -> None:
    scripts = {
        path.name
        for path in (CHECKOUT / "scripts").glob("*.py")
        if "identify_operator" in path.read_text(encoding="utf-8")
    }
    assert scripts == set(SCRIPTS)


def test_success_an_alias_is_the_same_command() -> None:
    """The tests of a command therefore cover its alias."""
    aliases = {words: first for words in VERBS if (first := canonical_path(words))}
    assert {" ".join(words) for words in aliases} == {
        "register",
        "status",
        "show-config",
        "export-env",
    }
    assert all(VERBS[words] is VERBS[first] for words, first in aliases.items())
