"""Permissions of the scripts that act as an operator: as for the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from rooms.queries.search import get_search_plan
from rooms.services.search.backfill import backfill_search, enqueue_backfill
from rooms.services.search.runs import BackfillOptions
from scaiwave.auth.operators import Operator, identify_operator
from scaiwave.cli.verbs import VERBS, canonical_path
from scaiwave.config import load
from scaiwave.errors import ScaiWaveError
from scaiwave.sandbox import Sandbox
from tenants.queries import scaigrid_smoke
from tests.authorisation_place import Place
from tests.scaiwave.console import CHECKOUT
from tests.scaiwave.rows import NOW
from tests.test_authorisation import (
    EVERYBODY,
    LOOK_AT_PLATFORM,
    NOBODY,
    PLATFORM,
    SUPER,
    WRITE,
    contents,
    token,
)


def plan_search(operator: Operator) -> int:
    get_search_plan(operator=operator, options=BackfillOptions())
    return 0


def fill_search(operator: Operator) -> int:
    backfill_search(operator=operator, options=BackfillOptions(), clock=lambda: NOW)
    return 0


def enqueue_search(operator: Operator) -> int:
    enqueue_backfill(operator=operator, options=BackfillOptions(), now=NOW)
    return 0


def smoke(operator: Operator) -> int:
    wish, config = scaigrid_smoke.SmokeTestOptions(), django_settings.CONFIG
    tested = scaigrid_smoke.smoke_test(
        operator=operator, config=config, options=wish, now=NOW, report=lambda step: None
    )
    return tested.exit_code


# By the name of the file: what it calls once it knows who asks, and the exit code of each.
SCRIPTS: dict[str, list[tuple[Callable[[Operator], int], dict[str, int]]]] = {
    "backfill_search_index.py": [
        (plan_search, LOOK_AT_PLATFORM),
        (fill_search, PLATFORM),
        # There is no queue, which is found out by those alone who may ask.
        (enqueue_search, {**NOBODY, SUPER: 2, WRITE: 2}),
    ],
    "scaigrid_service_token_smoke.py": [(smoke, LOOK_AT_PLATFORM)],
}
ACTS = [pytest.param(*act, id=act[0].__name__) for acts in SCRIPTS.values() for act in acts]


@pytest.fixture(scope="module")
def scaikey() -> Iterator[Sandbox]:
    with Sandbox(people=3, tenants=2, partners=2, groups=1, seed=8) as running:
        yield running


@pytest.mark.django_db
@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(("act", "codes"), ACTS)
def test_success_everybody_may_do_what_they_may(
    act: Callable[[Operator], int],
    codes: dict[str, int],
    who: str,
    scaikey: Sandbox,
    tmp_path: Path,
    settings: Settings,
) -> None:
    place = Place.made(scaikey, tmp_path)
    settings.CONFIG = load(
        {**place.environment, "SCAIWAVE_ADMIN_TOKEN": token(scaikey, place, who)}
    )
    before = contents()
    try:
        code, said = act(identify_operator(settings.CONFIG)), ""
    except ScaiWaveError as error:
        code, said = error.exit_code, f"{error.code}: {error.message}"
    assert code == codes[who], said
    if code:
        assert contents() == before


def test_success_every_script_that_asks_who_acts_is_here() -> None:
    asking = {
        path.name
        for path in (CHECKOUT / "scripts").glob("*.py")
        if "identify_operator" in path.read_text(encoding="utf-8")
    }
    assert asking == set(SCRIPTS)


def test_success_an_alias_is_the_same_verb() -> None:
    """So that what is tested of one holds for both."""
    aliases = {words: first for words in VERBS if (first := canonical_path(words))}
    assert {" ".join(words) for words in aliases} == {
        "register",
        "status",
        "show-config",
        "export-env",
    }
    assert all(VERBS[words] is VERBS[first] for words, first in aliases.items())
