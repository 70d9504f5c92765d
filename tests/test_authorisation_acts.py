"""Permissions of the admin site: every act, done by every type of account.

The rows are those of the commands that the acts stand for, in `test_authorisation.py`. A refused
act must change nothing, and neither may looking at the form of one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from redis import Redis

from scaiwave.config import load
from scaiwave.operations.jobs.site import ListedJob
from scaiwave.sandbox import Sandbox
from scaiwave.site.access import SCAIKEY_BACKEND
from scaiwave.site.acts import Act, RowSource, find_act, get_acts
from tenants.models import AdminUser
from tests.authorisation_fixtures import SampleData
from tests.authorisation_outcomes import OTHER_PARTNER, OTHER_TENANT, OWN_PARTNER, OWN_TENANT, SUPER
from tests.authorisation_rows import ROWS
from tests.scaiwave.site.scaikey_sessions import sign_in as sign_in_with_scaikey
from tests.test_authorisation import read_files, read_tables

ACTS = {slug: (row, act) for row in ROWS.values() for slug, act in row.acts.items()}


def list_slugs(*, commits: bool) -> list[str]:
    return [slug for slug in ACTS if does_commit(slug) is commits]


def does_commit(slug: str) -> bool:
    row, act = ACTS[slug]
    return row.commits and not act.starts_job


@pytest.fixture(scope="module")
def scaikey() -> Iterator[Sandbox]:
    with Sandbox(people=1, tenants=1, partners=1, groups=1, seed=8) as running:
        yield running


@pytest.fixture(autouse=True)
def site(redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """People sign in with ScaiKey too, and syncs are queued, which nothing runs here."""
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    settings.REDIS_URL = redis_url
    monkeypatch.setattr("identity_sync.site.acts.MAX_WAIT_SECONDS", 0.0)
    Redis.from_url(redis_url).flushdb()


@pytest.fixture
def sample(scaikey: Sandbox, tmp_path: Path) -> SampleData:
    return SampleData.create(scaikey, tmp_path)


def test_success_every_act_has_a_row_of_its_command() -> None:
    assert set(ACTS) == {act.slug for act in get_acts()}
    for words, row in ROWS.items():
        for slug in row.acts:
            act = find_act(slug)
            assert act is not None
            assert tuple(act.command.split()) == words


def test_success_the_page_about_the_site_lists_the_acts_of_each_place() -> None:
    acts = defaultdict(set)
    for act in get_acts():
        acts[act.model, act.is_of_list, act.of_selection].add(act.title)
    page = (Path(__file__).parents[1] / "docs/how-to/admin-site.md").read_text()
    table = page.partition("| On | You can |\n|---|---|\n")[2].partition("\n\n")[0]
    listed = [set(re.findall(r"\*\*(.+?)\*\*", row)) for row in table.splitlines()]
    assert sorted(map(sorted, listed)) == sorted(map(sorted, acts.values()))


def test_success_permissions_are_those_of_the_commands() -> None:
    """A sync of all tenants takes more in the admin site: it names no tenant whose scope counts.

    A transcript takes more too, since the site shows messages to few.
    """
    own = {act.slug for act in get_acts() if act.permission not in (None, act.declared_permission)}
    assert own == {"sync", "sync-dry-run", "room-transcript"}


@pytest.mark.django_db
@pytest.mark.parametrize("slug", list_slugs(commits=False))
def test_success_only_permitted_accounts_act(
    slug: str, sample: SampleData, settings: Settings
) -> None:
    assert_permissions(slug, sample, settings)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", list_slugs(commits=True))
def test_success_only_permitted_accounts_act_with_commits(
    slug: str, sample: SampleData, settings: Settings
) -> None:
    assert_permissions(slug, sample, settings)


def assert_permissions(slug: str, sample: SampleData, settings: Settings) -> None:
    row, act = ACTS[slug]
    use_token_requirement(settings, sample, "false")
    sample.create_keys(row.keys)
    target = act.row(sample)
    of_row = [] if target is None or get_act(slug).is_of_list else [target.pk]
    address = reverse("admin:act", args=[slug, *of_row])
    values = {
        name: value.format(row=target) if isinstance(value, str) else value(sample)
        for name, value in act.values.items()
    }
    confirmed = {**values, "confirmed": "yes"}
    refused = make_refused_clients()
    superuser = sign_in(AdminUser.objects.create_superuser("root"))
    before = read_state(sample)
    for kind, (client, statuses) in refused.items():
        for method in (client.get, client.post):
            assert method(address, confirmed).status_code in statuses, kind
        assert address not in list_offered(client, slug, target), kind
    use_token_requirement(settings, sample, "true")
    for method in (superuser.get, superuser.post):
        assert method(address, confirmed).status_code == HTTPStatus.FORBIDDEN
    assert address not in list_offered(superuser, slug, target)
    use_token_requirement(settings, sample, "false")
    if connection.vendor == "sqlite" and not act.is_on_sqlite:
        assert superuser.post(address, confirmed).status_code == HTTPStatus.FOUND
        assert address not in list_offered(superuser, slug, target)
        assert read_state(sample) == before
        return
    assert superuser.get(address, confirmed).status_code == HTTPStatus.OK
    assert read_state(sample) == before
    assert address in list_offered(superuser, slug, target)
    codes = act.codes or row.codes
    use_token_requirement(settings, sample, "true")
    for kind, client in make_scaikey_clients(sample).items():
        before = read_state(sample)
        with undone(commits=does_commit(slug)):
            is_offered = address in list_offered(client, slug, target)
            # A form above a list is also offered to those who may not name this tenant in it.
            assert is_offered is (codes[kind] != 3) or codes[kind] == 1, kind
            assert_outcome(client, address, confirmed, code=codes[kind])
            if codes[kind]:
                assert read_state(sample) == before, kind
    use_token_requirement(settings, sample, "false")
    assert_outcome(superuser, address, confirmed, code=codes[SUPER])


def assert_outcome(client: Client, address: str, values: dict[str, Any], *, code: int) -> None:
    """A second submission must be harmless: it succeeds too, or is refused with a reason."""
    refusals = {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
    done = {HTTPStatus.FOUND, HTTPStatus.OK}
    assert submit(client, address, values).status_code in (refusals if code else done)
    assert submit(client, address, values).status_code in refusals | done


@contextmanager
def undone(*, commits: bool) -> Iterator[None]:
    """Undo what an act does in this block, which is nothing if it has its own transactions."""
    if commits:
        yield
        return
    redis, queues = Redis.from_url(django_settings.REDIS_URL), read_queues()
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    redis.flushdb()
    for key, dump in queues.items():
        redis.restore(key, 0, dump)


def make_scaikey_clients(sample: SampleData) -> dict[str, Client]:
    """Return clients of people who have signed in with ScaiKey, by their role and scope."""
    own, other = sample.tenant, sample.other_tenant
    return {
        SUPER: sign_in_with_scaikey("super_admin"),
        OWN_PARTNER: sign_in_with_scaikey("partner_admin", partner=sample.partner.scaikey_id),
        OTHER_PARTNER: sign_in_with_scaikey(
            "partner_admin", partner=sample.other_partner.scaikey_id
        ),
        OWN_TENANT: sign_in_with_scaikey("tenant_admin", tenant=own.scaikey_tenant_id),
        OTHER_TENANT: sign_in_with_scaikey("tenant_admin", tenant=other.scaikey_tenant_id),
    }


def submit(client: Client, address: str, values: dict[str, Any]) -> Any:
    answer: Any = client.post(address, values)
    if not answer.streaming and answer.context and answer.context.get("report"):
        return answer
    if answer.status_code == HTTPStatus.OK and not answer.streaming:
        answer = client.post(address, {**values, "confirmed": answer.context["confirmation"]})
    if answer.streaming:
        answer.getvalue()
    elif answer.status_code == HTTPStatus.OK:
        raise AssertionError(answer.context["form"].errors or answer.context["question"])
    return answer


def use_token_requirement(settings: Settings, sample: SampleData, value: str) -> None:
    settings.CONFIG = load({**sample.environment, "SCAIWAVE_REQUIRE_ADMIN_TOKEN": value})


def sign_in(user: AdminUser, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def make_refused_clients() -> dict[str, tuple[Client, set[int]]]:
    """Return clients by their kind, each with the status codes that refuse it."""
    create = AdminUser.objects.create_user
    viewer = create("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.all())
    inactive = AdminUser.objects.create_superuser("former")
    auditor = create("auditor", is_staff=True, is_auditor=True)
    clients = {
        "may see everything": (sign_in(viewer), {403}),
        "auditor": (sign_in(auditor), {403}),
        "may see nothing": (sign_in(create("newcomer", is_staff=True)), {403}),
        "has no access to the site": (sign_in(create("member")), {302}),
        "disabled superuser": (sign_in(inactive), {302}),
        "signed out": (Client(), {302}),
    }
    AdminUser.objects.filter(pk=inactive.pk).update(is_active=False)
    return clients


def test_fail_a_forged_request_does_nothing(db: None) -> None:
    client = sign_in(AdminUser.objects.create_superuser("root"), enforce_csrf_checks=True)
    for slug in ACTS:
        answer = client.post(reverse("admin:act", args=[slug]), {"confirmed": "yes"})
        assert answer.status_code == HTTPStatus.FORBIDDEN


def get_act(slug: str) -> Act:
    act = find_act(slug)
    assert act is not None
    return act


def list_offered(client: Client, slug: str, row: Model | ListedJob | None) -> list[str]:
    """Return the addresses of the acts on the page that should offer this one."""
    act = get_act(slug)
    if isinstance(act.model, RowSource):
        page: Any = client.get(act.model.url)
        jobs = page.context["jobs"] if page.status_code == HTTPStatus.OK else []
        return [link.url for job in jobs for link in job["acts"]]
    meta = act.model._meta
    name = f"admin:{meta.app_label}_{meta.model_name}"
    url = reverse(f"{name}_changelist")
    if row is not None and not act.is_of_list:
        url = reverse(f"{name}_change", args=[row.pk])
    answer = client.get(url)
    if answer.status_code != 200:
        return []
    context = answer.context
    links = context["cl"].selection_acts if act.of_selection else context["acts"]
    return [link.url for link in links]


def read_state(sample: SampleData) -> Any:
    return read_tables(), read_files(sample.directory), read_queues()


def read_queues() -> dict[bytes, bytes]:
    """Return everything in Redis."""
    redis = Redis.from_url(django_settings.REDIS_URL)
    dumps = {key: redis.dump(key) for key in redis.scan_iter()}
    return {key: dump for key, dump in dumps.items() if dump is not None}
