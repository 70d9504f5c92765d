from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scaiwave.web.sessions import SessionStore
from tenants.accounts.administrators import (
    disable_administrator,
    enable_administrator,
    remove_administrator,
    reset_administrator_password,
)
from tenants.accounts.queries import list_administrators
from tenants.accounts.sessions import end_sessions
from tenants.errors import (
    AdministratorFromScaiKey,
    AdministratorNotFound,
    LastAdministrator,
    WeakPassword,
)
from tenants.models import AdminUser, AuditEntry
from tests.concurrency import run_concurrently
from tests.refusals import refuses
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    run_command,
)

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def agree(question: str) -> None:
    assert question.endswith(".")


disable = partial(disable_administrator, operator=HOST_OPERATOR, confirm=agree, now=NOW)
enable = partial(enable_administrator, operator=HOST_OPERATOR, now=NOW)
remove = partial(remove_administrator, operator=HOST_OPERATOR, confirm=agree, now=NOW)
reset = partial(
    reset_administrator_password, operator=HOST_OPERATOR, password=lambda: PASSWORD, now=NOW
)


end = partial(end_sessions, operator=HOST_OPERATOR, confirm=agree, now=timezone.now())


def make(name: str, **fields: Any) -> AdminUser:
    return AdminUser.objects.create_superuser(name, password="initial password", **fields)


def can_see_the_site(client: Client) -> bool:
    return client.get(reverse("admin:index")).status_code == 200


def test_success_disabled_and_enabled_again() -> None:
    make("olga")
    anna, client = make("anna"), Client()
    client.force_login(anna, "django.contrib.auth.backends.ModelBackend")
    assert can_see_the_site(client)
    assert disable(username="anna", dry_run=True).sentence == (
        "Administrator anna would be disabled."
    )
    assert can_see_the_site(client)
    result = disable(username="Anna")
    assert result.sentence == "Administrator anna disabled."
    assert (result.subject["status"], result.subject["can_sign_in"]) == (
        "disabled",
        False,
    )
    assert not can_see_the_site(client)
    assert disable(username="anna").sentence == (
        "Administrator anna is already disabled; nothing changed."
    )
    assert enable(username="anna").sentence == "Administrator anna enabled."
    assert not enable(username="anna").changed
    assert not can_see_the_site(client)
    actions = list(AuditEntry.objects.order_by("id").values_list("action", "subject_name"))
    assert actions == [("disable-administrator", "anna"), ("enable-administrator", "anna")]


def test_success_disabling_ends_the_sessions_of_one_account() -> None:
    """Also those without a request while the account is disabled."""
    anna, stolen, own = make("anna"), Client(), Client()
    backend = "django.contrib.auth.backends.ModelBackend"
    stolen.force_login(anna, backend)
    own.force_login(make("olga"), backend)
    disable(username="anna")
    enable(username="anna")
    assert not can_see_the_site(stolen)
    assert can_see_the_site(own)


def test_success_new_password_ends_sessions() -> None:
    anna, client = make("anna"), Client()
    client.force_login(anna, "django.contrib.auth.backends.ModelBackend")
    assert reset(username="anna", dry_run=True).sentence == "Password of anna would be reset."
    assert reset(username="anna").sentence == "Password of anna reset."
    anna.refresh_from_db()
    assert anna.check_password(PASSWORD)
    assert not can_see_the_site(client)
    (entry,) = AuditEntry.objects.all()
    assert (entry.action, entry.details) == ("reset-administrator-password", {})
    with pytest.raises(WeakPassword):
        reset(username="anna", password=lambda: "anna")


def test_fail_the_password_is_in_scaikey() -> None:
    """An account of a person who signs in with ScaiKey has no password here."""
    AdminUser.objects.create(username="scaikey:usr_1", scaikey_id="usr_1", password="!")
    for dry_run in (True, False):
        with refuses(
            AdministratorFromScaiKey,
            "The account scaikey:usr_1 has no password: its owner signs in with ScaiKey.",
            "Reset the password in ScaiKey, or create an account with a password: "
            "`scaiwave admin create-administrator <name>`.",
        ):
            reset(username="scaikey:usr_1", dry_run=dry_run, password=pytest.fail)
    assert AdminUser.objects.get().password == "!"
    assert not AuditEntry.objects.exists()


def test_success_sessions_are_listed_and_end_one_by_one_or_all() -> None:
    anna, root = make("anna"), Client()
    root.force_login(make("olga"), "django.contrib.auth.backends.ModelBackend")
    clients = [Client(REMOTE_ADDR=f"203.0.113.{number}") for number in (7, 8, 9)]
    for client in clients:
        login = {"username": "anna", "password": "initial password"}
        assert client.post(reverse("admin:login"), login).status_code == 302
    result = end(username="anna", dry_run=True)
    assert result.sentence.startswith("Would end 3 sessions of administrator anna: 203.0.113.9 ")
    page = root.get(reverse("admin:tenants_adminuser_change", args=[anna.pk])).content.decode()
    url = reverse("admin:act", args=["admin-end-sessions", anna.pk])
    choices = root.get(url).context["form"].fields["sessions"].choices
    for client, (_, text) in zip(reversed(clients), choices, strict=True):
        assert text.startswith(client.defaults["REMOTE_ADDR"])
        assert client.defaults["REMOTE_ADDR"] in page
        assert str(client.session.session_key) not in page + root.get(url).content.decode()
    assert root.post(url, {"sessions": [choices[0][0]]}).status_code == 302
    assert [can_see_the_site(client) for client in clients] == [True, True, False]
    assert end(username="anna").subject["username"] == "anna"
    assert [can_see_the_site(client) for client in (*clients, root)] == [False] * 3 + [True]
    assert end(username="anna").sentence == "Administrator anna has no session; nothing changed."
    details = AuditEntry.objects.filter(action="end-sessions").order_by("id")
    assert [entry.details for entry in details] == [{"sessions": 1}, {"sessions": 2}]
    own = reverse(
        "admin:act", args=["admin-end-sessions", AdminUser.objects.get(username="olga").pk]
    )
    ((session, _),) = root.get(own).context["form"].fields["sessions"].choices
    assert root.post(own, {"sessions": [session]}).status_code == 302
    assert not can_see_the_site(root)


def test_fail_the_database_opens_no_session() -> None:
    """It has a hash of each key, so that a copy of it lets no one in."""
    client, thief = Client(), Client()
    client.force_login(make("anna"), "django.contrib.auth.backends.ModelBackend")
    key = str(client.session.session_key)
    row = Session.objects.get()
    Session.objects.create(  # as earlier releases have stored sessions
        session_key="formerkey", session_data=row.session_data, expire_date=row.expire_date
    )
    for stored in (row.session_key, "formerkey"):
        thief.cookies[settings.SESSION_COOKIE_NAME] = stored
        assert not can_see_the_site(thief)
        assert async_to_sync(SessionStore(stored).aload)() == {}
        assert not SessionStore().exists(stored)
    assert key not in f"{row.session_key} {row.session_data} {row.get_decoded()}"
    assert async_to_sync(SessionStore(key).aload)() == row.get_decoded()
    assert SessionStore().exists(key)
    SessionStore(key).cycle_key()
    assert not can_see_the_site(client)
    assert (Session.objects.count(), Session.objects.filter(pk=row.pk).exists()) == (2, False)


def test_success_people_have_names_and_roles() -> None:
    root = Client()
    root.force_login(make("olga"), "django.contrib.auth.backends.ModelBackend")
    AdminUser.objects.create(username="scaikey:usr_7", scaikey_id="usr_7", first_name="Anna Berg")
    page = root.get(reverse("admin:tenants_adminuser_changelist")).content.decode()
    assert "Anna Berg" in page
    assert "as set in ScaiKey" in page
    assert "scaikey:usr_7" not in page


def test_success_accounts_are_created_and_get_passwords_in_the_site() -> None:
    root, url = Client(), reverse("admin:act", args=["admin-create-administrator"])
    root.force_login(make("olga"), "django.contrib.auth.backends.ModelBackend")
    values = {"username": "carla", "role": "auditor", "password": PASSWORD}
    differing = root.post(url, {**values, "repeated": "x"})
    assert "The two passwords differ." in differing.content.decode()
    assert PASSWORD not in differing.content.decode()
    assert root.post(url, {**values, "repeated": PASSWORD}).status_code == 302
    carla = AdminUser.objects.get(username="carla")
    assert (carla.is_auditor, carla.check_password(PASSWORD)) == (True, True)
    reset_url = reverse("admin:act", args=["admin-reset-administrator-password", carla.pk])
    weak = root.post(reset_url, {"password": "carla", "repeated": "carla"})
    assert weak.status_code == 409
    assert "Password rejected." in weak.content.decode()
    new = dict.fromkeys(("password", "repeated"), "x" + PASSWORD)
    assert root.post(reset_url, new).status_code == 302
    carla.refresh_from_db()
    assert carla.check_password("x" + PASSWORD)


def test_success_removed() -> None:
    make("olga")
    anna = make("anna", email="anna@example.com")
    Client().force_login(anna, backend="django.contrib.auth.backends.ModelBackend")
    assert remove(username="anna", dry_run=True).sentence == "Administrator anna would be removed."
    assert remove(username="anna").sentence == "Administrator anna removed."
    assert [user.username for user in AdminUser.objects.all()] == ["olga"]
    assert not Session.objects.exists()
    (entry,) = AuditEntry.objects.all()
    assert (entry.action, entry.subject_name) == ("remove-administrator", "anna")


@pytest.mark.parametrize("act", [disable, remove])
def test_fail_the_last_who_can_sign_in(act: Callable[..., Any]) -> None:
    make("anna")
    make("disabled", is_active=False)
    make("staff")
    AdminUser.objects.filter(username="staff").update(is_staff=False)
    AdminUser.objects.create_superuser("without-password")
    for name in ("otto", "oda"):
        AdminUser.objects.create_user(name, password=PASSWORD, is_staff=True, is_auditor=True)
    with pytest.raises(LastAdministrator):
        act(username="anna", dry_run=True)
    with pytest.raises(LastAdministrator) as caught:
        act(username="anna")
    assert caught.value.fix == "Create or enable another one first, or pass --allow-last."
    # Accounts that can't sign in anyway are not protected.
    assert act(username="without-password").changed
    assert [act(username=name).changed for name in ("otto", "oda")] == [True, True]
    assert act(username="anna", allow_last=True).changed


@pytest.mark.only_on("postgresql")  # SQLite has one writer at a time
@pytest.mark.django_db(transaction=True)
def test_success_one_of_two_remains_if_both_are_disabled_at_once() -> None:
    make("anna")
    make("olga")
    outcomes = run_concurrently(
        *(partial(_try, disable, username=name) for name in ("anna", "olga"))
    )
    assert sorted(outcomes) == ["changed", "refused"]
    assert AdminUser.objects.filter(is_active=True).count() == 1


def _try(act: Callable[..., Any], **options: Any) -> str:
    try:
        return "changed" if act(**options).changed else "unchanged"
    except LastAdministrator:
        return "refused"


def test_success_listed() -> None:
    make("olga", last_login=NOW)
    make("anna", is_active=False)
    rows = list(list_administrators(operator=READ_ONLY_OPERATOR))
    assert [(row["username"], row["status"], row["can_sign_in"]) for row in rows] == [
        ("anna", "disabled", False),
        ("olga", "active", True),
    ]
    assert rows[1]["last_sign_in_at"] == NOW
    listed = json.loads(run_command("list_administrators", "--json"))["administrators"]
    assert [row["username"] for row in listed] == ["anna", "olga"]
    assert "olga" in run_command("list_administrators")


def test_success_commands(tmp_path: Path) -> None:
    make("anna")
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    words = ("reset_administrator_password", "anna", "--password-file", str(file))
    assert run_command(*words) == "Password of anna reset.\n"
    assert run_command("disable_administrator", "anna", "--allow-last", "--yes") == (
        "Administrator anna disabled.\n"
    )
    assert run_command("enable_administrator", "anna") == "Administrator anna enabled.\n"
    assert run_command("remove_administrator", "anna", "--allow-last", "--yes") == (
        "Administrator anna removed.\n"
    )


def test_fail_unknown() -> None:
    make("anna")
    for act in (disable, enable, remove, reset):
        with refuses(AdministratorNotFound, "Administrator not found: ana.") as caught:
            act(username="ana")
        assert "`anna`" in caught.value.fix
    with pytest.raises(AdministratorNotFound):
        enable(username="a\0b")
