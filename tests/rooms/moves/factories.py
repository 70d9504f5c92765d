"""A tenant with a row of everything that moves, and the server that it moves to.

Both servers are in one database: once the tenant is exported, `leave` gives the old rows other
names, as if they were on another server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db.models import F, Value
from django.db.models.functions import Concat, Substr

from federation.keys.lifecycle import generate_key
from federation.models import ServerKey
from rooms.models import Event, RoomMember, Workspace, WorkspaceMember
from rooms.moves.export_tenant import ExportTenantOptions, export_tenant
from rooms.moves.import_tenant import ImportTenantOptions, import_tenant
from rooms.moves.mapping import PeopleOptions
from rooms.moves.verify_export import verify_tenant_export
from rooms.seeding.seed_rooms import SeedOptions, seed_rooms
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.report import Report
from tenants.models import Group, Participant, Role, RoleGrant, Tenant
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, add_members, make_group, make_person

MAX_BYTES = 2**27
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
_seconds = count()


def tick() -> datetime:
    """Return a later time at each call."""
    return NOW + timedelta(seconds=next(_seconds))


def make_moving_tenant(slug: str = "acme", events: int = 120) -> Tenant:
    if not ServerKey.objects.exists():
        generate_key(operator=HOST_OPERATOR, now=NOW)
    seed_rooms(
        operator=HOST_OPERATOR,
        tenant=slug,
        workspace="main",
        options=SeedOptions(rooms=2, events=events, media=3, media_bytes=50, senders=6),
        now=NOW,
    )
    tenant = Tenant.objects.get(slug=slug)
    Tenant.objects.filter(pk=tenant.pk).update(
        scaikey_tenant_id=f"tnt_{slug}", max_rooms=99, features={"calls": True}
    )
    anna, bert = make_person(tenant, "anna"), make_person(tenant, "bert")
    inner, outer = make_group(tenant, "Inner"), make_group(tenant, "Outer")
    add_members(inner, anna)
    add_members(outer, inner, bert)
    role = Role.objects.create(tenant=tenant, slug="editors", name="Editors", created_at=NOW)
    grant = {"tenant": tenant, "role": role, "granted_by": "root", "created_at": NOW}
    RoleGrant.objects.create(participant=anna, **grant)
    RoleGrant.objects.create(group=outer, source="scaikey", **grant)
    workspace = Workspace.objects.get(tenant=tenant)
    WorkspaceMember.objects.create(
        tenant=tenant, workspace=workspace, participant=bert, role="editor", created_at=NOW
    )
    direct = row_factories.make_room(
        workspace, anna, "", room_type="dm", state="archived", read_role_slugs=["editors"]
    )
    for person, level in ((anna, 100), (bert, 7)):
        RoomMember.objects.create(
            tenant=tenant, room=direct, participant=person, power_level=level, joined_at=NOW
        )
    position = Event.objects.filter(tenant=tenant).count() + 10
    row_factories.make_event(direct, position, content={"body": "hi", "mentions": [str(bert.pk)]})
    row_factories.make_event(direct, position + 1, do_not_index=True, sender=bert)
    for kind, fields in (
        ("sidekick", {"room_type": "sidekick"}),
        ("bridge", {"room_type": "bridge"}),
        ("secret", {"scope_kind": "incognito"}),
        ("federated", {"is_federated": True}),
    ):
        room = row_factories.make_room(workspace, anna, kind, **fields)
        position += 3
        row_factories.make_event(room, position)
        RoomMember.objects.create(tenant=tenant, room=room, participant=anna)
    return tenant


def export(tenant: Tenant, directory: Path, **changes: Any) -> Report:
    dry_run = changes.pop("dry_run", False)
    options = ExportTenantOptions(
        directory, False, False, "", MAX_BYTES, tick, lambda effect: None, null_progress_factory
    )
    return export_tenant(
        operator=HOST_OPERATOR,
        tenant=str(tenant.pk),
        options=replace(options, **changes),
        dry_run=dry_run,
    )


def bring(directory: Path, slug: str = "moved", **changes: Any) -> Report:
    dry_run = changes.pop("dry_run", False)
    options = ImportTenantOptions(
        directory, slug, PeopleOptions(), None, None, None, False, MAX_BYTES, tick
    )
    return import_tenant(
        operator=HOST_OPERATOR, options=replace(options, **changes), dry_run=dry_run
    )


def bring_alike(directory: Path, slug: str = "moved", **changes: Any) -> Report:
    """Import after a dry run, which changes nothing, and says or refuses the same."""
    store = Path(settings.STORAGES["default"]["OPTIONS"]["location"])

    def read_all() -> object:
        managers = [model._base_manager for model in apps.get_models()]
        rows = [sorted(manager.values_list(), key=str) for manager in managers]
        files = [path for path in store.rglob("*") if path.is_file()]
        return rows, {path: path.read_bytes() for path in files}

    def act(**dry: bool) -> tuple[Report | None, ScaiWaveError | None]:
        try:
            result = bring(directory, slug, **dry, **changes)
        except ScaiWaveError as error:
            return None, error
        return result, result.error

    before = read_all()
    dry, expected = act(dry_run=True)
    assert read_all() == before
    done, error = act()
    assert (error and error.code) == (expected and expected.code)
    if error is not None:
        raise error
    assert dry
    assert done
    own = set() if dry.figures["id"] else {"id"}
    assert {name: dry.figures[name] for name in dry.figures.keys() - own} == {
        name: done.figures[name] for name in done.figures.keys() - own
    }
    assert (dry.warnings, dry.changed) == (done.warnings, done.changed)
    return done


def verify(directory: Path, against: str | None = None, **changes: Any) -> Report:
    arguments: dict[str, Any] = {"key": None, "descriptor": None, "operator": HOST_OPERATOR}
    return verify_tenant_export(
        directory=directory, max_bytes=MAX_BYTES, now=tick(), against=against,
        **arguments | changes,
    )  # fmt: skip


def leave(tenant: Tenant, mark: str = "old-") -> None:
    """Rename the rows of a tenant, so that they are no longer the people of the export."""
    Tenant.objects.filter(pk=tenant.pk).update(
        scaikey_tenant_id=Concat(Value(mark), F("scaikey_tenant_id"))
    )
    marked = Concat(Value(mark), F("scaikey_id"))
    Group.objects.filter(tenant=tenant).update(scaikey_id=marked)
    people = Participant.objects.filter(tenant=tenant)
    people.update(local_id=Concat(Value(mark), F("local_id")))
    people.exclude(scaikey_id=None).update(scaikey_id=marked)


def come_back(tenant: Tenant, mark: str = "old-") -> None:
    """Undo `leave`."""

    def unmarked(name: str) -> Substr:
        return Substr(name, len(mark) + 1)

    Tenant.objects.filter(pk=tenant.pk).update(scaikey_tenant_id=unmarked("scaikey_tenant_id"))
    Group.objects.filter(tenant=tenant).update(scaikey_id=unmarked("scaikey_id"))
    people = Participant.objects.filter(tenant=tenant)
    people.filter(local_id__startswith=mark).update(local_id=unmarked("local_id"))
    people.filter(scaikey_id__startswith=mark).update(scaikey_id=unmarked("scaikey_id"))


@contextmanager
def on_old_server(source: Tenant, here: Tenant) -> Iterator[None]:
    """Inside, the source has its own names, as if the import were on another server."""
    leave(here, "new-")
    come_back(source)
    yield
    leave(source)
    come_back(here, "new-")


def read_index(directory: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((directory / "index.json").read_bytes())
    return index
