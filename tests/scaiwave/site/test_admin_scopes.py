"""What people who sign in with ScaiKey see: the rows of their tenants, at every address."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from identity_sync.models import SyncChange, SyncPlannedChange, SyncRun
from rooms.models import TenantTask
from scaiwave.core.sql import uuid_param
from scaiwave.operations.overview.stored import FORM
from scaiwave.site import ReadOnlyAdmin
from scaiwave.site.access import SCAIKEY_BACKEND, limit_rows
from scaiwave.site.tabs import build_heading
from tenants.models import AdminUser, Participant, Partner, StoredOverview, Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.site.every_model import MODELS, every_model
from tests.scaiwave.site.scaikey_sessions import sign_in

OWN, OTHER = 70717, 80828
"""Numbers in the names of the rows of the operator's tenant, and of another one.

No part of a UUID has five digits."""

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
every_role = pytest.mark.parametrize("role", ["partner_admin", "tenant_admin"])


@pytest.fixture(autouse=True)
def tenants(settings: Settings) -> dict[int, Tenant]:
    """Create two tenants of two partners, with rows of every model."""
    settings.AUTHENTICATION_BACKENDS = [*django_settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    made = {number: row_factories.make_row_of_every_model(number) for number in (OWN, OTHER)}
    for number in made:
        partners = Partner.objects.filter(slug=f"partner{number}")
        partners.update(scaikey_id=f"prt_{number}", name=f"Partner {number}")
    return made


def enter(role: str) -> Client:
    """Sign in with the scope of the role alone, as ScaiKey's tokens have it."""
    if role == "partner_admin":
        return sign_in(role, partner=f"prt_{OWN}")
    return sign_in(role, tenant=f"scaikey-{OWN}")


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def list_own_rows(model: type[Model], tenants: dict[int, Tenant], role: str) -> list[Model]:
    """Return the rows that the operator may see, by the foreign keys of the models alone."""
    rows = model._default_manager.order_by("pk")
    names = {field.name for field in model._meta.fields}
    own = tenants[OWN]
    if model is Tenant:
        return list(rows.filter(pk=own.pk))
    if model is TenantTask:  # It is about directories of the host.
        return []
    if model is Partner:
        return list(rows.filter(pk=own.partner_id)) if role == "partner_admin" else []
    if "tenant" in names:
        return list(rows.filter(tenant=own))
    if "tenant_id" in names:
        return list(rows.filter(tenant_id=str(own.pk)))
    if "change" in names:
        return list(rows.filter(change__tenant=own))
    return []


@every_model
def test_success_every_model_declares_how_its_rows_belong_to_tenants(model: type[Model]) -> None:
    declared = [
        "scope" in vars(base)
        for base in type(admin.site.get_model_admin(model)).__mro__
        if issubclass(base, ReadOnlyAdmin) and base is not ReadOnlyAdmin
    ]
    assert any(declared), f"{model._meta.label}: set `scope` in its admin, PLATFORM if it has none"


@every_role
def test_success_lists_and_pages_have_the_rows_of_own_tenants(
    role: str, tenants: dict[int, Tenant]
) -> None:
    client = enter(role)
    for model in MODELS:
        assert_own_rows_only(client, model, list_own_rows(model, tenants, role))


def assert_own_rows_only(client: Client, model: type[Model], own: list[Model]) -> None:
    listed = client.get(address(model, "changelist"))
    if not own:
        refused = client.post(address(model, "export", "csv"))
        assert refused.status_code == listed.status_code == HTTPStatus.FORBIDDEN, model
    else:
        assert sorted(listed.context["cl"].result_list, key=lambda row: str(row.pk)) == sorted(
            own, key=lambda row: str(row.pk)
        )
        assert not find_foreign(listed)
        for format_name in ("csv", "json"):
            file: Any = client.post(address(model, "export", format_name))
            text = file.getvalue().decode()
            assert not find_foreign(text), model
            assert all(str(row.pk) in text for row in own), model
    for row in model._default_manager.all():
        answer = client.get(address(model, "change", row.pk))
        if row in own:
            assert answer.status_code == HTTPStatus.OK
            assert not find_foreign(answer), find_foreign(answer)
        else:
            # As for a row that never was: for models that the role sees, a redirect.
            absent = client.get(address(model, "change", make_absent_key(row)))
            assert answer.status_code == absent.status_code != HTTPStatus.OK
            assert not find_foreign(answer)


def make_absent_key(row: Model) -> str:
    key = str(row.pk)
    return key[:-4] + "ffff" if "-" in key else "987654"


def find_foreign(answer: Any) -> list[str]:
    """Return what a page or a file shows of the other tenant."""
    text = answer if isinstance(answer, str) else answer.content.decode()
    return re.findall(rf".{{0,40}}(?:[a-z] |[g-z]|[_-]){OTHER}\b.{{0,20}}", text, re.IGNORECASE)


@every_role
def test_fail_the_other_tenant_can_not_be_found_by_filters_or_searches(
    role: str, tenants: dict[int, Tenant]
) -> None:
    client = enter(role)
    for model in MODELS:
        if own := list_own_rows(model, tenants, role):
            assert_other_tenant_not_found(client, model, own, tenants[OTHER])


def assert_other_tenant_not_found(
    client: Client, model: type[Model], own: list[Model], other: Tenant
) -> None:
    url = address(model, "changelist")
    names = {field.name for field in model._meta.fields}
    queries = [{"q": f"tenant{OTHER}"}, {"q": str(other.pk)}, {"q": f"anna{OTHER}@example.com"}]
    if "tenant" in names:
        queries.append({"tenant__id__exact": str(other.pk)})
    if model is Tenant:
        queries.append({"partner__id__exact": str(other.partner_id)})
    for query in queries:
        answer = client.get(url, query)
        rows = answer.context["cl"].result_list
        assert all(row in own for row in rows), query
        shown = answer.content.decode().replace(next(iter(query.values())), "")
        assert f"tenant{OTHER}" not in shown
        assert f"Partner {OTHER}" not in shown
    for lookup in ("tenant__partner__name__startswith", "partner__name__startswith", "id__gte"):
        assert client.get(url, {lookup: "P"}).status_code == HTTPStatus.BAD_REQUEST


@every_role
def test_fail_the_search_of_the_site_finds_only_own_rows(
    role: str, tenants: dict[int, Tenant]
) -> None:
    client = enter(role)
    anna = Participant.objects.get(tenant=tenants[OTHER], participant_type="human")
    for term in (f"tenant{OTHER}", str(anna.pk), anna.email, f"partner{OTHER}", f"key{OTHER}"):
        answer = client.get(reverse("admin:search"), {"q": term})
        assert answer.context["found"] == [], term
    found = client.get(reverse("admin:search"), {"q": f"tenant{OWN}"})
    assert found.status_code == HTTPStatus.FOUND or found.context["found"]


@every_role
def test_success_overview_and_menu_are_about_own_tenants(
    role: str, tenants: dict[int, Tenant]
) -> None:
    client = enter(role)
    Tenant.objects.filter(pk__in=[each.pk for each in tenants.values()]).update(max_participants=1)
    answer = client.get(reverse("admin:index"))
    assert not find_foreign(answer)
    cards = {card["title"]: card["value"] for card in answer.context["overview"]["volumes"]}
    assert cards["Active tenants"] == cards["People"] == cards["Rooms"] == "1"
    assert cards["Storage"] == "5 B"
    (sync,) = answer.context["overview"]["health"]
    assert sync["title"] == "Sync"
    assert sync["url"] == reverse("admin:identity_sync_syncchange_changelist")
    people = answer.context["overview"]["volumes"][1]
    assert [link["text"] for link in people["links"]] == ["0 suspended", "0 deactivated"]
    (nearest, acts) = answer.context["overview"]["lists"]
    assert [entry["text"] for entry in nearest["entries"]] == [f"tenant{OWN}"]
    assert len(acts["entries"]) == 1
    names = {
        model["object_name"] for part in answer.context["app_list"] for model in part["models"]
    }
    assert not names & {"AdminUser", "GroupMembership", "RoomMember", "WorkspaceMember"}
    assert "ServerKey" not in names
    assert ("Partner" in names) is (role == "partner_admin")
    for part in answer.context["app_list"]:
        for model in part["models"]:
            assert client.get(model["admin_url"]).status_code == HTTPStatus.OK


@every_role
def test_fail_raw_ids_and_autocomplete_find_only_own_rows(
    role: str, tenants: dict[int, Tenant]
) -> None:
    """No page has such a widget, but Django serves their address for every model."""
    client = enter(role)
    url = reverse("admin:autocomplete")
    for model, field, own in (
        ("participant", "tenant", f"tenant{OWN}"),
        ("role", "tenant", f"tenant{OWN}"),
        ("rolegrant", "participant", f"Anna{OWN}"),
    ):
        query = {"app_label": "tenants", "model_name": model, "field_name": field, "term": ""}
        texts = [each["text"] for each in client.get(url, query).json()["results"]]
        assert texts == [own]
    query = {"app_label": "tenants", "model_name": "role", "field_name": "tenant"}
    answer = client.get(url, {**query, "term": "a\0"})
    assert answer.json() == {"results": [], "pagination": {"more": False}}
    query = {"app_label": "identity_sync", "model_name": "webhookevent", "field_name": "run"}
    runs = client.get(url, {**query, "term": "root"}).json()["results"]
    assert len(runs) == 1
    shortcut = client.get(f"/admin/r/{get_content_type(Tenant)}/{tenants[OTHER].pk}/")
    assert shortcut.status_code == HTTPStatus.NOT_FOUND
    popup = client.get(address(Tenant, "changelist"), {"_popup": "1", "_to_field": "id"})
    assert not find_foreign(popup)


def get_content_type(model: type[Model]) -> int:
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.get_for_model(model).pk


@every_role
def test_fail_every_address_of_another_row(role: str, tenants: dict[int, Tenant]) -> None:
    """Also those that an admin adds to Django's: an address with an ID must limit the rows."""
    client = enter(role)
    for model in MODELS:
        own = list_own_rows(model, tenants, role)
        foreign = [row for row in model._default_manager.all() if row not in own]
        for pattern in admin.site.get_model_admin(model).get_urls():
            names = list(pattern.pattern.converters)
            if len(names) != 1 or not names[0].endswith("_id") or not pattern.name or not foreign:
                continue
            url = reverse(f"admin:{pattern.name}", args=[foreign[0].pk])
            for answer in (client.get(url), client.post(url, {"reason": "x", "confirmed": "yes"})):
                assert answer.status_code != HTTPStatus.OK, url
                assert not find_foreign(answer), url


@every_role
def test_fail_acts_on_other_rows_do_not_exist(role: str, tenants: dict[int, Tenant]) -> None:
    client = enter(role)
    # A tenant_admin may not suspend anyone, so that is not looked up.
    status = HTTPStatus.FORBIDDEN if role == "tenant_admin" else HTTPStatus.NOT_FOUND
    for row in (tenants[OTHER], Participant.objects.filter(tenant=tenants[OTHER])[0]):
        url = reverse("admin:act", args=[f"admin-suspend-{row._meta.model_name}", row.pk])
        for answer in (client.get(url), client.post(url, {"reason": "x", "confirmed": "yes"})):
            assert answer.status_code == status
            assert not find_foreign(answer)


@every_role
def test_success_limited_pages_use_a_constant_number_of_queries(
    role: str, tenants: dict[int, Tenant]
) -> None:
    client = enter(role)

    def count(url: str) -> int:
        StoredOverview.objects.all().delete()
        with CaptureQueriesContext(connection) as caught:
            assert client.get(url).status_code == HTTPStatus.OK
        return len(caught)

    urls = [address(Participant, "changelist"), address(Tenant, "change", tenants[OWN].pk)]
    urls += [reverse("admin:index"), f"{reverse('admin:search')}?q=tenant"]
    before = [(count(url), count(url))[1] for url in urls]  # once more, with warm caches
    for number in range(90, 95):
        row_factories.make_participant(tenants[OWN], f"more{number}")
        row_factories.make_row_of_every_model(number)
    assert [count(url) for url in urls] == before


def test_success_the_stored_overview_of_a_scope_is_shown_to_no_other_one(
    tenants: dict[int, Tenant],
) -> None:
    Tenant.objects.filter(pk=tenants[OTHER].pk).update(partner=tenants[OWN].partner)
    row_factories.make_participant(tenants[OTHER], "ben")
    clients = {
        "server": sign_in("super_admin"),
        f"partner_admin prt_{OWN}": sign_in("partner_admin", partner=f"prt_{OWN}"),
        f"partner_admin prt_{OTHER}": sign_in("partner_admin", partner=f"prt_{OTHER}"),
        f"tenant_admin scaikey-{OWN}": sign_in("tenant_admin", tenant=f"scaikey-{OWN}"),
        f"tenant_admin scaikey-{OTHER}": sign_in("tenant_admin", tenant=f"scaikey-{OTHER}"),
        f"tenant_admin prt_{OWN}": sign_in("tenant_admin", tenant=f"prt_{OWN}"),
    }
    StoredOverview.objects.all().delete()
    for _ in range(2):  # The second time from what the first has stored.
        people = [count_people_of_overview(client) for client in clients.values()]
        assert people == ["3", "3", "0", "1", "2", "0"]
    stored = StoredOverview.objects.values_list("scope", flat=True)
    assert sorted(stored) == sorted(FORM + scope for scope in clients)


def count_people_of_overview(client: Client) -> str:
    cards = client.get(reverse("admin:index")).context["overview"]["volumes"]
    return next(str(card["value"]) for card in cards if card["title"] == "People")


def test_success_old_overviews_are_deleted_when_another_is_built() -> None:
    StoredOverview.objects.all().delete()
    old = timezone.now() - timedelta(minutes=2)
    for scope in ("server", "tenant_admin tnt_1"):
        StoredOverview.objects.create(scope=scope, built_at=old, document={})
    enter("partner_admin").get(reverse("admin:index"))
    assert [each.scope for each in StoredOverview.objects.all()] == [
        f"{FORM}partner_admin prt_{OWN}"
    ]


def test_success_an_id_that_is_too_long_to_be_known_has_an_overview() -> None:
    assert count_people_of_overview(sign_in("tenant_admin", tenant="t" * 300)) == "0"


def test_success_a_super_admin_and_an_auditor_see_what_a_superuser_sees() -> None:
    scaikey, root, auditor = sign_in("super_admin"), Client(), Client()
    create, password = AdminUser.objects.create_user, "django.contrib.auth.backends.ModelBackend"
    root.force_login(AdminUser.objects.create_superuser("root"), password)
    auditor.force_login(create("otto", is_staff=True, is_auditor=True), password)
    clients = (scaikey, root, auditor)
    for model in MODELS:
        url = address(model, "changelist")
        rows = [list(each.get(url).context["cl"].result_list) for each in clients]
        assert rows[0] == rows[1] == rows[2]
        for row in rows[0][:1]:
            page = auditor.get(address(model, "change", row.pk))
            assert (page.status_code, page.context["acts"]) == (HTTPStatus.OK, [])
    cards = [each.get(reverse("admin:index")).context["overview"] for each in clients]
    # All but one were stored as JSON.
    first, second, third = (json.loads(json.dumps(each)) for each in cards)
    assert first == second
    assert all(not task["url"] for task in third["tasks"] if task["act"]), "They may not act."
    for task in (*first["tasks"], *third["tasks"]):
        task["url"] = "" if task["act"] else task["url"]
    assert first == third
    assert len(first["health"]) > 3
    assert auditor.get(reverse("admin:jobs")).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("role", "partner", "tenant", "seconds"),
    [
        ("partner_admin", "", f"scaikey-{OWN}", 60),
        ("partner_admin", None, None, 60),
        ("tenant_admin", f"prt_{OWN}", "", 60),
        ("tenant_admin", f"prt_{OWN}", None, 60),
        ("platform_read", None, None, 60),
        ("host", None, None, 60),
        ("participant", None, f"scaikey-{OWN}", 60),
        ("super_admin", None, None, 0),
    ],
)
def test_fail_no_one_enters_without_a_scope_or_after_the_time(
    role: str, partner: str | None, tenant: str | None, seconds: float
) -> None:
    client = sign_in(role, partner=partner, tenant=tenant, seconds=seconds)
    for url in (reverse("admin:index"), address(Tenant, "changelist"), reverse("admin:search")):
        assert client.get(url).status_code == HTTPStatus.FOUND, url


def test_fail_an_account_of_scaikey_has_no_rights_of_its_own() -> None:
    """Neither as staff, nor as superuser, nor with a password: only its session proves a role."""
    client = sign_in("tenant_admin", partner=f"prt_{OWN}", tenant=f"scaikey-{OWN}")
    AdminUser.objects.update(is_staff=True, is_superuser=True)
    assert client.get(address(AdminUser, "changelist")).status_code == HTTPStatus.FORBIDDEN
    assert len(client.get(address(Tenant, "changelist")).context["cl"].result_list) == 1
    session = client.session
    del session["scaikey_operator"]
    session.save()
    assert client.get(address(Tenant, "changelist")).status_code == HTTPStatus.FOUND


def test_fail_a_sign_in_that_expires_while_a_page_is_built() -> None:
    client = enter("tenant_admin")
    request = make_request(client)
    scope = admin.site.get_model_admin(Tenant).scope  # type: ignore[attr-defined]
    assert limit_rows(request, Tenant.objects.all(), scope).count() == 1
    request.session["scaikey_operator"]["expires_at"] = 0
    assert limit_rows(request, Tenant.objects.all(), scope).count() == 1
    late = make_request(client)
    late.session["scaikey_operator"]["expires_at"] = 0
    assert limit_rows(late, Tenant.objects.all(), scope).count() == 0


def make_request(client: Client) -> HttpRequest:
    request = RequestFactory().get("/")
    request.session = client.session
    request.user = AdminUser.objects.get(scaikey_id__isnull=False)
    return request


@every_role
def test_success_the_sync_of_a_tenant_shows_nothing_of_others(
    role: str, tenants: dict[int, Tenant]
) -> None:
    """It can take people from another tenant."""
    run = SyncRun.objects.get(tenant=tenants[OWN])
    change = {"run": run, "kind": "participants", "action": "move", "reason_code": "moved"}
    for number, tenant in tenants.items():
        name, person = f"Anna{number}", Participant.objects.filter(tenant=tenant)[0]
        SyncChange.objects.create(tenant=tenant, subject_id=person.pk, subject_name=name, **change)
    run.losses = [["people", uuid_param(tenant.pk), 3] for tenant in tenants.values()]
    run.save()
    client = enter(role)
    changes = reverse("admin:identity_sync_syncchange_changelist")
    assert client.get(reverse("admin:identity_sync_syncrun_changelist")).context["list_note"] == (
        f'Syncs of one tenant alone. <a href="{changes}">Sync changes</a> lists what any sync '
        "changed."
    )
    answer = client.get(address(SyncRun, "change", run.pk))
    assert f"Anna{OWN}" in answer.content.decode()
    assert f"{tenants[OWN].slug}</a>: 3 people" in answer.content.decode()
    assert not find_foreign(answer)


@every_role
def test_success_the_plan_of_a_tenant_shows_nothing_of_others(
    role: str, tenants: dict[int, Tenant]
) -> None:
    run = SyncRun.objects.get(tenant=tenants[OWN])
    SyncRun.objects.filter(pk=run.pk).update(outcome="planned")
    SyncPlannedChange.objects.update(run=run)
    client = enter(role)
    for url in (
        address(SyncRun, "change", run.pk),
        f"{address(SyncPlannedChange, 'changelist')}?run__id__exact={run.pk}",
    ):
        answer = client.get(url)
        assert f"Anna {OWN}" in answer.content.decode()
        assert not find_foreign(answer)


def test_fail_there_is_no_password_to_change() -> None:
    client = sign_in("super_admin")
    answer = client.get(reverse("admin:password_change"))
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "password_change" not in client.get(reverse("admin:index")).content.decode()


def test_fail_a_session_of_another_person_is_refused() -> None:
    client = sign_in("super_admin")
    AdminUser.objects.filter(scaikey_id="usr_super_admin").update(scaikey_id="usr_other")
    assert client.get(reverse("admin:index")).status_code == HTTPStatus.FOUND


@every_role
def test_fail_tenants_of_another_partner_are_none(role: str, tenants: dict[int, Tenant]) -> None:
    """A filter that the list does not show is applied too."""
    other = next(tenant for number, tenant in tenants.items() if number != OWN)
    client, url = enter(role), address(Tenant, "changelist")
    for partner, found in ((tenants[OWN].partner_id, [tenants[OWN]]), (other.partner_id, [])):
        answer = client.get(url, {"partner__id__exact": str(partner)})
        assert answer.context["cl"].result_list == found


def test_success_tabs_lead_to_what_the_role_sees(tenants: dict[int, Tenant]) -> None:
    client = enter("tenant_admin")
    page = client.get(address(Tenant, "change", tenants[OWN].pk))
    request = make_request(client)
    heading = build_heading(admin.site, request, tenants[OWN])
    assert heading is not None
    for tab in heading.tabs:
        answer = client.get(tab.url)
        assert answer.status_code == HTTPStatus.OK
        assert not find_foreign(answer)
    assert "Partner" not in page.content.decode().partition('id="content"')[2]


@every_role
def test_success_errors_of_runs_name_no_address_of_scaikey(
    role: str, tenants: dict[int, Tenant]
) -> None:
    """What the sync itself reports is shown: it has the number of losses of access."""
    run = SyncRun.objects.get(tenant=tenants[OWN])
    pages = (address(SyncRun, "changelist"), address(SyncRun, "change", run.pk))
    for code, is_shown in (("SW_UPSTREAM_UNREACHABLE", False), ("SW_SYNC_REMOVAL_LIMIT", True)):
        SyncRun.objects.filter(pk=run.pk).update(
            error_code=code, error_message="at 192.0.2.1", error_fix="set X to 192.0.2.1"
        )
        client = enter(role)
        file: Any = client.post(address(SyncRun, "export", "csv"))
        texts = [client.get(page).content.decode() for page in pages]
        for text in (*texts, file.getvalue().decode()):
            assert code in text
            assert ("192.0.2.1" in text) is is_shown


def test_success_who_may_not_run_commands_is_shown_none(tenants: dict[int, Tenant]) -> None:
    person = Participant.objects.get(tenant=tenants[OWN], participant_type="human")
    Participant.objects.filter(pk=person.pk).update(suspended_by_hand_at=timezone.now())
    url = address(Participant, "change", person.pk)
    for role, is_told in (("super_admin", True), ("partner_admin", False), ("tenant_admin", False)):
        client = sign_in(role) if is_told else enter(role)
        page = client.get(url).content.decode()
        assert "is suspended manually" in page
        assert ("scaiwave admin" in page) is is_told
