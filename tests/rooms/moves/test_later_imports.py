"""What an import leaves of decisions that were made here, and syncs between two imports."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from pytest_django import Settings

from federation.keys.lifecycle import generate_key
from rooms.errors import TenantImportRefused
from rooms.models import (
    Event,
    Room,
)
from scaiwave.sandbox import Sandbox
from tenants.errors import (
    ParticipantOnHold,
)
from tenants.holds.hold import add_hold
from tenants.models import Group, GroupMembership, Participant, Role, RoleGrant, Tenant
from tenants.roles.queries.super_admins import find_super_admin_holders
from tests.identity_sync.sync.helpers import list_people, list_people_of_tenant, sync
from tests.rooms.moves.factories import (
    NOW,
    bring,
    bring_alike,
    export,
    leave,
    make_moving_tenant,
    on_old_server,
    tick,
    verify,
)
from tests.scaiwave import row_factories
from tests.tenants.factories import (
    HOST_OPERATOR,
    add_members,
    make_group,
    make_person,
    make_tenant,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]


def _move_grant(source: Tenant) -> None:
    """A role of another name takes over a grant that was imported before."""
    role = Role.objects.create(tenant=source, slug="super_admin", name="x", created_at=NOW)
    RoleGrant.objects.filter(tenant=source, group=None).update(role=role)


def test_success_left_out_by_a_later_import(tmp_path: Path) -> None:
    """Rows of the import before, which a later export may no longer give, go."""
    source, out = make_moving_tenant(events=12), tmp_path / "out"
    make_person(source, "carl")
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    assert RoleGrant.objects.filter(tenant=here).count() == 2
    Tenant.objects.filter(pk=here.pk).update(
        max_rooms=1, features={}, scaikey_status="SUSPENDED", absent_since=NOW
    )
    bert = Participant.objects.get(tenant=here, local_id="bert.acme")
    Participant.objects.filter(pk=bert.pk).update(suspended_by_hand_at=NOW)
    carl = Participant.objects.filter(tenant=here, local_id="carl.acme")
    carl.update(absent_since=(removed_at := tick()))  # A sync found and removed him.
    anna = Participant.objects.filter(tenant=here, local_id="anna.acme")
    anna.update(purged_at=NOW, scaikey_id=None, display_name="Deleted user")
    with on_old_server(source, here):
        _move_grant(source)
        Role.objects.filter(tenant=source, slug="editors").update(is_built_in=True)
        Tenant.objects.filter(pk=source.pk).update(
            scaikey_tenant_id="tnt_of_others", max_rooms=5000, name="New name"
        )
        export(source, out, incremental=True)
        Tenant.objects.filter(pk=source.pk).update(scaikey_tenant_id="old-tnt_acme")
    (warning, *_) = bring_alike(out, opens=True).warnings
    assert warning == (
        "1 grant of super_admin or partner_admin won't be imported, since these roles are about "
        "other tenants too. Grant them here with `scaiwave role grant`."
    )
    assert RoleGrant.objects.get(tenant=here).role.slug == "editors"
    assert not find_super_admin_holders() & {row.pk for row in here.participants.all()}
    here.refresh_from_db()
    kept = (here.max_rooms, here.features, here.scaikey_tenant_id, here.name)
    assert kept == (1, {}, "tnt_acme", "New name")
    assert (here.scaikey_status, here.absent_since) == ("SUSPENDED", NOW)
    roles = Role.objects.filter(tenant=here).order_by("slug")
    assert list(roles.values_list("slug", "name", "is_built_in")) == [
        ("editors", "Editors", False), ("super_admin", "Super administrator", True),
    ]  # fmt: skip
    bert.refresh_from_db()
    assert (bert.suspended_by_hand_at, anna.get().display_name) == (NOW, "Deleted user")
    assert carl.get().absent_since == removed_at


def test_fail_refused_later(tmp_path: Path) -> None:
    """An import that is refused deletes nothing before, and leaves a resumed tenant open."""
    source, out = make_moving_tenant(events=12), tmp_path / "out"
    inner = Group.objects.get(tenant=source, name="Inner")
    GroupMembership.objects.filter(group=inner).delete()
    export(source, out)
    leave(source)
    here = make_tenant("moved", scaikey_tenant_id=None)
    group = make_group(here, "Inner here", scaikey_id=inner.scaikey_id)
    _make_super_admin(group)
    bring(out)
    kept = list(Room.objects.filter(tenant=here).order_by("pk").values())
    Tenant.objects.filter(pk=here.pk).update(suspended_by_hand_at=None)
    with on_old_server(source, here):
        add_members(inner, make_person(source, "mallory"))
        Room.objects.filter(tenant=source, room_type="dm").delete()
        export(source, out, incremental=True)
    with pytest.raises(TenantImportRefused, match="1 person would get super_admin or"):
        bring_alike(out)
    assert list(Room.objects.filter(tenant=here).order_by("pk").values()) == kept
    assert Event.objects.filter(tenant=here, room__room_type="dm").count() == 2
    assert Tenant.objects.get(slug="moved").is_active


def test_fail_decided_here(tmp_path: Path) -> None:
    """People with a decision of this server neither go nor come back under another ID."""
    source, out = make_moving_tenant(events=12), tmp_path / "out"
    old = make_person(source, "carl", scaikey_id="usr_carl", local_id="carl.acme")
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    carl = Participant.objects.filter(tenant=here, local_id="carl.acme")
    carl.update(suspended_by_hand_at=NOW)
    with on_old_server(source, here):
        old.delete()
        make_person(source, "carl", scaikey_id="usr_carl", local_id="carl.acme")
        export(source, out, incremental=True)
    for decision in ({"suspended_by_hand_at": NOW}, {"messages_erased_at": NOW}):
        carl.update(**{"suspended_by_hand_at": None, **decision})
        with pytest.raises(TenantImportRefused) as caught:
            bring_alike(out)
        assert str(caught.value) == (
            f"Person {carl.get().pk} was suspended, purged or granted a role here, or their "
            "messages were erased, and the export no longer has this person."
        )
        assert caught.value.fix == (
            "Undo it with `scaiwave admin resume-participant` or `scaiwave role revoke`, and "
            "import again. After an erasure, export the tenant again with this person. Nothing "
            "was imported."
        )
        assert carl.filter(**decision).exists()
    add_hold(
        operator=HOST_OPERATOR, tenant="moved", participant=str(carl.get().pk), reason="case",
        now=NOW,
    )  # fmt: skip
    carl.update(messages_erased_at=None)
    events = Event.objects.filter(tenant=here).count()
    with pytest.raises(ParticipantOnHold, match="Can't import into tenant moved: hold"):
        bring_alike(out, opens=True)
    assert (Event.objects.filter(tenant=here).count(), carl.count()) == (events, 1)


@pytest.mark.sandbox(partners=1, tenants=2, people=20, groups=4)
def test_success_a_sync_claims_placeholders(
    sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    """A person of ScaiKey's returns to the row of the import, with its rooms and messages."""
    settings.CONFIG = make_config(sandbox)
    sync()
    source = Tenant.objects.filter(participants__isnull=False).distinct()[0]
    workspace = row_factories.make_workspace(source)
    anna = Participant.objects.filter(tenant=source, scaikey_id__isnull=False)[0]
    room = row_factories.make_room(workspace, anna)
    row_factories.make_event(room, 1)
    generate_key(operator=HOST_OPERATOR, now=NOW)
    export(source, tmp_path / "out", freeze=True)
    leave(source)
    # The old server is gone, as far as the sync is concerned.
    Participant.objects.filter(tenant=source).update(absent_since=NOW, scaikey_id=None)
    Group.objects.filter(tenant=source).update(absent_since=NOW, scaikey_id=None)
    Tenant.objects.filter(pk=source.pk).update(scaikey_tenant_id=None, slug="gone")
    bring(tmp_path / "out")
    here = Tenant.objects.get(slug="moved")
    author = Event.objects.get(tenant=here).sender
    assert not author.is_active
    people = list_people_of_tenant(sandbox, str(here.scaikey_tenant_id))
    sync()
    author.refresh_from_db()
    here.refresh_from_db()
    assert (author.is_active, here.slug) == (True, source.slug)
    active = Participant.objects.filter(tenant=here, absent_since=None)
    assert {person.scaikey_id for person in active} == {row["id"] for row in people}
    assert verify(tmp_path / "out", here.slug).error is None


def _make_super_admin(group: Group) -> None:
    here = {"tenant": group.tenant, "created_at": NOW}
    role, _ = Role.objects.get_or_create(slug="super_admin", tenant=group.tenant, defaults=here)
    RoleGrant.objects.create(role=role, group=group, granted_by="x", **here)


@pytest.mark.sandbox(partners=1, tenants=1, people=4, groups=0)
def test_success_a_sync_between_imports(
    sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    """Groups and people whom a sync brings back get no right that an import could not give, and
    a later import suspends and removes none of them."""
    settings.CONFIG = make_config(sandbox)
    directory, out = sandbox.directory, tmp_path / "out"
    tenant_id = next(iter(directory.tenants))
    mallory_id, bert_id = (str(row["id"]) for row in list_people(sandbox)[:2])
    ops_id, admins_id = (directory.add_group(tenant_id, name=name) for name in ("Ops", "Admins"))
    directory.add_member(ops_id, user_id=mallory_id)
    source = make_tenant("source", scaikey_tenant_id=tenant_id)
    mallory = make_person(source, "mallory", scaikey_id=mallory_id)
    add_members(ops := make_group(source, "Ops", scaikey_id=ops_id), mallory)
    _make_super_admin(ops)
    generate_key(operator=HOST_OPERATOR, now=NOW)
    export(source, out)
    leave(source)
    assert bring(out).warnings == [
        "1 grant of super_admin or partner_admin won't be imported, since these roles are about "
        "other tenants too. Grant them here with `scaiwave role grant`."
    ]
    here = Tenant.objects.get(slug="moved")
    assert not Participant.objects.get(tenant=here, scaikey_id=mallory_id).is_active

    def sync_here() -> set[UUID]:
        """Sync without the old server's rows; return who holds super_admin in the tenant."""
        Tenant.objects.filter(pk=source.pk).update(scaikey_tenant_id=None)
        sync()
        Tenant.objects.filter(pk=source.pk).update(scaikey_tenant_id=f"old-{tenant_id}")
        return find_super_admin_holders() & set(here.participants.values_list("pk", flat=True))

    assert sync_here() == set()
    claimed = Participant.objects.get(tenant=here, scaikey_id=mallory_id)
    edge = GroupMembership.objects.get(tenant=here, member_participant=claimed)
    assert (claimed.is_active, edge.absent_since, edge.group.absent_since) == (True, None, None)
    # The old server removes and suspends her.
    here.refresh_from_db()
    with on_old_server(source, here):
        later = {"absent_since": tick(), "suspended_by_hand_at": tick()}
        Participant.objects.filter(pk=mallory.pk).update(**later, display_name="Gone")
        export(source, out, incremental=True)
    bring(out, slug=here.slug)
    claimed.refresh_from_db()
    assert (claimed.is_active, claimed.absent_since) == (True, None)
    assert claimed.display_name != "Gone"
    # This server makes a group super_admin. The old one adds to it a group that no sync has seen.
    _make_super_admin(Group.objects.get(tenant=here, scaikey_id=admins_id))
    staff_id = directory.add_group(tenant_id, name="Staff")
    directory.add_member(staff_id, user_id=bert_id)
    with on_old_server(source, here):
        staff = make_group(source, "Staff", scaikey_id=staff_id)
        add_members(staff, mallory)
        add_members(make_group(source, "Admins", scaikey_id=admins_id), staff)
        export(source, out, incremental=True)
    with pytest.raises(TenantImportRefused, match="1 person would get super_admin or"):
        bring(out, slug=here.slug, opens=True)
    assert sync_here() == set()
    assert Group.objects.get(tenant=here, scaikey_id=staff_id).absent_since is None
