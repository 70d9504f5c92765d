"""What administrators can do in the admin site. `test_authorisation_acts.py` tests who may."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import get_commands, load_command_class
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from federation.models import Policy, ServerKey
from rooms.models import RetentionPolicy, Room, TenantImport, WorkspaceMember
from scaiwave.cli.verbs import VERBS
from scaiwave.config import load
from scaiwave.site.acts import get_acts
from tenants.models import (
    AdminUser,
    AuditEntry,
    Group,
    Participant,
    Partner,
    Role,
    RoleGrant,
    Tenant,
)
from tests.conftest import ON_POSTGRES
from tests.scaiwave import row_factories
from tests.scaiwave.site.pages import strip_markup

pytestmark = pytest.mark.django_db
ACTS = {act.slug: act for act in get_acts()}
REASON = {"reason": "unpaid <invoice>"}


@pytest.fixture
def client() -> Client:
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(AdminUser.objects.create_superuser("root"))
    return client


@pytest.fixture
def acme() -> Tenant:
    return row_factories.make_row_of_every_model(1)


def address(slug: str, row: Model | None) -> str:
    return reverse("admin:act", args=[slug, row.pk] if row else [slug])


def page_of(client: Client, row: Model) -> Any:
    meta = row._meta
    return client.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk]))


def confirm(client: Client, slug: str, row: Model | None, /, **values: str) -> Any:
    """Fill in the form, answer the question if there is one, and return the last response."""
    answer: Any = client.post(address(slug, row), values)
    if answer.status_code == HTTPStatus.OK and (signature := answer.context["confirmation"]):
        answer = client.post(address(slug, row), {**values, "confirmed": signature})
    return answer


def do(client: Client, slug: str, row: Model | None, /, **values: str) -> str:
    """Fill in the form, answer the question with yes, and return what the page of the row says."""
    answer = confirm(client, slug, row, **values)
    assert answer.status_code == HTTPStatus.FOUND, strip_markup(answer.content.decode())[-800:]
    page = client.get(answer["Location"])
    (message,) = page.context["messages"]
    return str(message)


def get_status(row: Any) -> str:
    return str(type(row)._default_manager.get(pk=row.pk).status)


def test_fail_unknown_acts_and_rows(acme: Tenant, client: Client) -> None:
    for slug, row_id in (
        ("admin-destroy", str(acme.pk)),
        ("admin-suspend-tenant", "0197b0e2-4c1f-7a3e-8000-000000000000"),
        ("admin-suspend-tenant", "x"),
        ("admin-suspend-tenant", ""),
        ("sync", str(acme.pk)),
    ):
        url = reverse("admin:act", args=[slug, row_id] if row_id else [slug])
        assert client.post(url, REASON).status_code == HTTPStatus.NOT_FOUND


def test_success_suspend_and_resume_a_tenant(acme: Tenant, client: Client) -> None:
    question = client.post(address("admin-suspend-tenant", acme), REASON)
    assert "This blocks sign-in for" in question.context["question"]
    assert get_status(acme) == "active"
    titles = [link.title for link in page_of(client, acme).context["acts"]]
    assert {"Suspend", "Change limits"} <= set(titles)
    assert "Resume" not in titles

    assert "suspended" in do(client, "admin-suspend-tenant", acme, **REASON)

    assert get_status(acme) == "suspended"
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.operator, entry.operator_role, entry.origin) == (
        "suspend-tenant",
        "root",
        "super_admin",
        "203.0.113.7",
    )
    assert entry.details == REASON
    do(client, "admin-resume-tenant", acme, reason="paid")
    assert get_status(acme) == "active"


def test_fail_only_the_question_that_was_shown_is_confirmed(acme: Tenant, client: Client) -> None:
    """No form agrees to a question in advance, or to another one."""
    slug = "admin-suspend-tenant"
    url = address(slug, acme)
    other = row_factories.make_tenant("other", scaikey_tenant_id="tnt_other")
    foreign = client.post(address(slug, other), REASON).context["confirmation"]
    for given in ("yes", foreign):
        answer = client.post(url, {**REASON, "confirmed": given})
        assert answer.context["question"]
        assert "The question has changed" in answer.content.decode()
    asked = client.post(url, REASON)
    row_factories.make_participant(acme, "late", scaikey_id="usr_late")
    again = client.post(url, {**REASON, "confirmed": asked.context["confirmation"]})
    assert again.context["question"] != asked.context["question"]
    assert get_status(acme) == "active"
    done = client.post(url, {**REASON, "confirmed": again.context["confirmation"]})
    assert done.status_code == HTTPStatus.FOUND
    assert get_status(acme) == "suspended"


def test_fail_a_reason_is_required(acme: Tenant, client: Client) -> None:
    answer = client.post(address("admin-suspend-tenant", acme), {"confirmed": "yes"})
    assert "This field is required." in answer.content.decode()
    assert get_status(acme) == "active"


def test_success_suspend_a_tenant_during_its_import(acme: Tenant, client: Client) -> None:
    """The import resumes it at its end, but not what an operator suspends."""
    TenantImport.objects.filter(tenant=acme).update(started_at=row_factories.NOW, finished_at=None)
    Tenant.objects.filter(pk=acme.pk).update(suspended_by_hand_at=row_factories.NOW)
    titles = [link.title for link in page_of(client, acme).context["acts"]]
    assert {"Suspend", "Resume"} <= set(titles)
    assert do(client, "admin-suspend-tenant", acme, **REASON) == f"Tenant {acme} suspended."
    titles = [link.title for link in page_of(client, acme).context["acts"]]
    assert "Suspend" not in titles


def test_success_suspend_and_resume_partners_and_people(acme: Tenant, client: Client) -> None:
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    partner = Partner.objects.get()
    for kind, row in (("partner", partner), ("participant", anna)):
        do(client, f"admin-suspend-{kind}", row, **REASON)
        assert get_status(row) == "suspended"
        do(client, f"admin-resume-{kind}", row, **REASON)
        assert get_status(row) == "active"


def test_success_change_limits(acme: Tenant, client: Client) -> None:
    """The form has the present values, and keeps what others have changed since."""
    do(client, "admin-update-tenant", acme, max_rooms="5", max_participants="7")
    Tenant.objects.filter(pk=acme.pk).update(max_storage_mb=9)
    shown = {"max_rooms": "5", "initial-max_rooms": "5", "initial-max_participants": "7"}
    do(client, "admin-update-tenant", acme, **{**shown, "max_rooms": "", "max_participants": "7"})
    acme.refresh_from_db()
    assert (acme.max_rooms, acme.max_participants, acme.max_storage_mb) == (None, 7, 9)
    page = client.get(address("admin-update-tenant", acme)).content.decode()
    assert 'name="max_participants" value="7"' in page
    assert "1 in use. Empty: no limit." in page
    for wrong in ("-1", "many", "1" * 30):
        answer = client.post(address("admin-update-tenant", acme), {"max_rooms": wrong})
        assert answer.context["form"].errors["max_rooms"]
    unchanged = client.post(address("admin-update-tenant", acme), {})
    assert "Change a limit first." in unchanged.content.decode()


def test_success_limits_below_the_use_are_asked_about(acme: Tenant, client: Client) -> None:
    partner = Partner.objects.get()
    Tenant.objects.filter(pk=acme.pk).update(partner=partner)
    Partner.objects.filter(pk=partner.pk).update(scaikey_id=None)
    for slug, row, values in (
        ("admin-update-tenant", acme, {"max_rooms": "0"}),
        ("admin-update-partner", partner, {"max_tenants": "0"}),
    ):
        asked = client.post(address(slug, row), values)
        assert "exceeds the new limit" in asked.context["question"]
        row.refresh_from_db()
        assert getattr(row, next(iter(values))) is None
        do(client, slug, row, **values)
        row.refresh_from_db()
        assert getattr(row, next(iter(values))) == 0


def test_success_a_form_comes_back_filled_after_the_sign_in(acme: Tenant, client: Client) -> None:
    """It is shown once, and not sent again by itself."""
    guest, url = Client(), address("admin-suspend-tenant", acme)
    sent = guest.post(url, {**REASON, "confirmed": "yes", "other": "x"})
    assert sent["Location"].startswith(reverse("admin:login"))
    guest.force_login(AdminUser.objects.get(username="root"))
    form = guest.get(url).context["form"]
    assert (form["reason"].value(), form.errors) == (REASON["reason"], {})
    assert get_status(acme) == "active"
    assert guest.get(url).context["form"]["reason"].value() is None
    for other, reason in ((Client(), "x" * 4000), (Client(enforce_csrf_checks=True), "forged")):
        assert "kept_form" not in other.post(url, {"reason": reason}).cookies


def test_success_an_act_that_is_not_offered_leads_to_its_row(acme: Tenant, client: Client) -> None:
    answer: Any = client.post(address("admin-resume-tenant", acme), REASON, follow=True)
    assert answer.redirect_chain == [
        (reverse("admin:tenants_tenant_change", args=[acme.pk]), HTTPStatus.FOUND)
    ]
    assert "It may have been done already." in answer.content.decode()


def test_success_removals_are_turned_off_and_on(acme: Tenant, client: Client) -> None:
    for word, expected in (("off", False), ("on", True)):
        assert "removals" in do(client, f"admin-update-tenant-sync-removals-{word}", acme)
        acme.refresh_from_db()
        assert acme.sync_removals is expected
    assert "Turn removals off" in [link.title for link in page_of(client, acme).context["acts"]]


def test_success_grant_and_revoke_a_role(acme: Tenant, client: Client) -> None:
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    role = Role.objects.get(tenant=acme)
    RoleGrant.objects.all().delete()
    do(client, "role-grant", role, holder=str(anna.pk), **REASON)
    grant = RoleGrant.objects.get(role=role, participant=anna)
    page = client.get(confirm(client, "role-revoke", grant, **REASON)["Location"])
    assert AuditEntry.objects.latest("id").details["reason"] == REASON["reason"]
    assert page.context["heading"].page_url.endswith(f"{anna.pk}/change/")
    assert not RoleGrant.objects.exists()


def test_success_granting_super_admin_is_asked_about(acme: Tenant, client: Client) -> None:
    """So are the other roles of administrators; each grant needs a reason."""
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    bridge = row_factories.make_participant(acme, "irc", participant_type="bridge")
    strong = ["tenant_admin", "partner_admin", "super_admin"]
    Role.objects.create(
        tenant=acme, slug=strong[0], name="Boss", is_built_in=True, created_at=row_factories.NOW
    )
    own = Role.objects.get(tenant=acme, is_built_in=False).slug
    form = client.get(address("role-grant-role-to-person", anna)).context["form"]
    assert [slug for slug, _ in form.fields["role"].choices] == ["", own, *strong], "by power"
    refused = client.post(
        address("role-grant-role-to-person", bridge), {"role": strong[0], **REASON}
    )
    assert refused.context["error"].code == "SW_ROLE_PEOPLE_ONLY"
    url = address("role-grant-role-to-person", anna)
    questions = [client.post(url, {"role": slug, **REASON}).context["question"] for slug in strong]
    for slug, question in zip(strong, questions, strict=True):
        assert f"This grants role {slug} to" in question
    role = Role.objects.get(tenant=acme, slug="tenant_admin")
    for to, values in (
        (url, {"role": "super_admin"}),
        (address("role-grant", role), {"holder": str(anna.pk)}),
        (
            address("role-grant-role-from-file-file", None),
            {"role": role.slug, "rows": str(anna.pk)},
        ),
    ):
        assert client.post(to, values).context["form"].errors.keys() == {"reason"}
    assert not RoleGrant.objects.filter(role__is_built_in=True).exists()
    do(client, "role-grant-role-to-person", anna, role="super_admin", **REASON)
    assert AuditEntry.objects.latest("id").details == {
        **REASON, "role": "super_admin", "outcome": "granted"
    }  # fmt: skip


def test_fail_an_error_of_the_service_is_shown_with_its_fix(acme: Tenant, client: Client) -> None:
    role = Role.objects.get(tenant=acme)
    answer = client.post(address("role-grant", role), {"holder": "<b>stranger</b>", **REASON})
    assert answer.status_code == HTTPStatus.CONFLICT
    page = answer.content.decode()
    assert "SW_PARTICIPANT_NOT_FOUND" in page
    assert "<b>stranger" not in page


def test_success_replacing_or_revoking_a_key_needs_its_id(client: Client) -> None:
    run_generate()
    key = ServerKey.objects.get()
    for slug in ("admin-federation-key-rotate", "admin-federation-key-revoke"):
        answer = client.post(address(slug, key), {"key_id": "other", "confirmed": "yes"})
        assert "This is not the ID of this key." in answer.content.decode()
    page = client.get(address("admin-federation-key-rotate", key)).content.decode()
    assert "A new key signs from now on. This one verifies for 30 days" in page
    assert ServerKey.objects.count() == 1
    do(client, "admin-federation-key-rotate", key, key_id=key.key_id)
    assert ServerKey.objects.count() == 2
    do(client, "admin-federation-key-revoke", key, key_id=key.key_id)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert not page_of(client, key).context["acts"]


def run_generate() -> None:
    from django.utils import timezone

    from federation.keys.lifecycle import generate_key
    from tests.tenants.factories import HOST_OPERATOR

    generate_key(operator=HOST_OPERATOR, now=timezone.now())


def test_success_verifying_a_key_reports_this_one(client: Client) -> None:
    run_generate()
    key = ServerKey.objects.get()
    assert do(client, "admin-federation-key-check", key) == f"Key {key.key_id} decrypts and signs."
    do(client, "admin-federation-key-rotate", key, key_id=key.key_id)
    ServerKey.objects.filter(pk=key.pk).update(private_key_encrypted="damaged")
    answer = client.post(address("admin-federation-key-check", key))
    assert answer.status_code == HTTPStatus.CONFLICT
    assert "SW_" in answer.content.decode()
    other = ServerKey.objects.exclude(pk=key.pk).get()
    sentence = do(client, "admin-federation-key-check", other)
    assert sentence.startswith(f"Key {other.key_id} decrypts and signs.")
    assert key.key_id in sentence


def test_success_the_first_key_is_created_above_the_list(client: Client) -> None:
    assert do(client, "admin-federation-key-generate", None).startswith("Key ")
    answer = client.post(address("admin-federation-key-generate", None), follow=True)
    assert "It may have been done already." in answer.content.decode()
    assert ServerKey.objects.count() == 1


def test_success_roles_are_granted_to_groups_and_from_their_pages(
    acme: Tenant, client: Client
) -> None:
    group, role = Group.objects.get(), Role.objects.get()
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    for slug, row, values in (
        ("role-grant", role, {"kind": "group", "holder": group.name}),
        ("role-grant-role-to-group-group", group, {"role": role.slug}),
        ("role-grant-role-to-person", anna, {"role": role.slug}),
    ):
        RoleGrant.objects.all().delete()
        do(client, slug, row, **values, **REASON)
        grant = RoleGrant.objects.get(role=role)
        assert (grant.group or grant.participant) in (group, anna)
    do(client, "role-grant", role, kind="group", holder=str(group.pk), **REASON)
    grant = RoleGrant.objects.get(group=group)
    answer = confirm(client, "role-revoke", grant, **REASON)
    assert answer.status_code == HTTPStatus.FOUND
    assert not RoleGrant.objects.filter(group=group).exists()


def test_success_roles_are_created_renamed_and_deleted(acme: Tenant, client: Client) -> None:
    new = {"tenant": acme.slug, "slug": "editors", "name": "Editors", "description": "May publish"}
    do(client, "role-create", None, **new)
    role = Role.objects.get(tenant=acme, slug="editors")
    do(client, "role-update", role, name="Copy editors")
    role.refresh_from_db()
    assert (role.name, role.description) == ("Copy editors", "May publish")
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    do(client, "role-grant", role, holder=str(anna.pk), **REASON)
    answer = confirm(client, "role-delete", role)
    assert answer.status_code == HTTPStatus.CONFLICT
    RoleGrant.objects.filter(role=role).delete()
    do(client, "role-delete", role)
    assert not Role.objects.filter(pk=role.pk).exists()


def test_success_a_workspace_is_created_with_its_owner(acme: Tenant, client: Client) -> None:
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    new = {"tenant": acme.slug, "slug": "sales", "name": "Sales", "owner": str(anna.pk)}
    do(client, "admin-create-workspace", None, **new)
    member = WorkspaceMember.objects.get(workspace__slug="sales")
    assert (member.tenant, member.participant, member.role) == (acme, anna, "owner")


def test_success_rooms_are_archived_and_reopened(acme: Tenant, client: Client) -> None:
    room = Room.objects.get(tenant=acme)
    assert "archived" in do(client, "room-archive", room, **REASON)
    titles = [link.title for link in page_of(client, room).context["acts"]]
    assert "Reopen" in titles
    assert "Archive" not in titles
    assert "reopened" in do(client, "room-reopen", room, **REASON)
    assert AuditEntry.objects.order_by("-id")[0].details["reason"] == REASON["reason"]


def test_success_a_policy_is_shown_in_its_form_and_ends_after_a_question(
    acme: Tenant, client: Client
) -> None:
    room = Room.objects.get(tenant=acme)
    RetentionPolicy.objects.all().delete()
    slug = "admin-retention-set-tenant-slug"
    refused = client.post(address(slug, acme), REASON)
    assert "Everything is kept here already: no policy counts." in refused.content.decode()
    assert not RetentionPolicy.objects.exists()
    shown = {"days": 365, "media_days": 90, "content_only": True}
    do(client, slug, acme, **REASON, days="365", media_days="90", content_only="on")
    for row, name in ((acme, slug), (room, f"{slug}-room-room")):
        form = client.get(address(name, row)).context["form"]
        assert {field: form[field].value() for field in shown} == shown
        question = client.post(address(name, row), REASON).context["question"]
        assert question.startswith(f"Messages and files of {row._meta.model_name} ")
        assert " will be kept indefinitely. The policy of the tenant is now: " in question
    assert "cleared" in do(client, "admin-retention-clear-tenant-slug", acme, **REASON)
    assert not client.get(address(slug, acme)).context["form"]["days"].value()


def test_success_an_account_is_disabled_and_enabled(client: Client) -> None:
    anna = AdminUser.objects.create_superuser("anna")
    hers = Client()
    hers.force_login(anna)
    assert hers.get(reverse("admin:index")).status_code == HTTPStatus.OK
    question = client.post(address("admin-disable-administrator", anna))
    assert "ends their sessions" in question.context["question"]
    do(client, "admin-disable-administrator", anna)
    assert hers.get(reverse("admin:index")).status_code == HTTPStatus.FOUND
    last = AdminUser.objects.create_superuser("last", password="correct horse battery")
    answer = confirm(client, "admin-disable-administrator", last)
    assert "SW_ADMINISTRATOR_LAST" in answer.content.decode()
    do(client, "admin-enable-administrator", anna)
    anna.refresh_from_db()
    assert anna.is_active


def test_success_the_policy_is_changed_above_its_list(client: Client) -> None:
    sentence = do(
        client,
        "admin-federation-policy-set",
        None,
        default_mode="invite_only",
        allow_peers="chat.example.com  b.example.com",
        max_foreign_participants="50",
    )
    assert "invite_only" in sentence
    policy = Policy.objects.get()
    assert policy.allowed_peers == ["b.example.com", "chat.example.com"]
    assert policy.max_foreign_participants_per_room == 50
    form = client.get(address("admin-federation-policy-set", None)).content.decode()
    assert "Allowed servers: b.example.com, chat.example.com. Maximum of participants" in form
    for wrong in ({}, {"allow_peers": "a b/c"}, {"max_foreign_participants": "9" * 10}):
        answer = client.post(address("admin-federation-policy-set", None), wrong)
        assert answer.status_code == HTTPStatus.CONFLICT, wrong
    answer = client.post(
        address("admin-federation-policy-set", None), {"max_foreign_participants": "-1"}
    )
    assert "Enter a number, or none." in answer.content.decode()


@pytest.mark.skipif(ON_POSTGRES, reason="a session of PostgreSQL may take its own lock again")
@pytest.mark.django_db(transaction=True)
def test_fail_too_many_downloads_at_a_time(client: Client, settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_TRANSFER_LIMIT": "1"})
    room = Room.objects.get(tenant=row_factories.make_row_of_every_model(1))
    ServerKey.objects.all().delete()
    first: Any = client.post(address("room-export", room), REASON)
    assert first.streaming
    second = client.post(address("room-export", room), REASON)
    assert second.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert second.headers["Retry-After"] == "30"
    assert "SW_RATE_LIMIT_EXCEEDED" in second.content.decode()
    first.close()
    third: Any = client.post(address("room-export", room), REASON)
    assert third.getvalue()[:2] == b"PK"


def test_success_every_model_without_acts_stays_read_only(acme: Tenant, client: Client) -> None:
    acting = {act.model for act in ACTS.values()}
    for model in admin.site._registry:
        row = model._default_manager.order_by("pk").first()
        if model not in acting and row is not None:
            links = page_of(client, row).context["acts"]
            assert not [link for link in links if "/act/" in link.url]


def test_success_hints_about_roles_are_commands() -> None:
    """With a value for each placeholder, the parser of the command takes them."""
    hints = [act for act in get_acts() if act.command in ("role grant", "role revoke")]
    assert len([act for act in hints if act.of_selection]) == 4
    for act in hints:
        if act.options:
            words = tuple(act.command.split())
            command = load_command_class(get_commands()[VERBS[words].command], VERBS[words].command)
            parser = command.create_parser("scaiwave", words[-1])
            parser.parse_args(act.options.replace("<", "").replace(">", "").split())
