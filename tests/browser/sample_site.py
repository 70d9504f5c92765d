"""A server with a history, for looking at: created in a process of its own.

`create_sample_site` makes what a healthy platform with the usual problems has;
`add_hostile_rows` what people enter to break pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from federation.keys.lifecycle import generate_key
from federation.models import KnownPeer, ServerKey
from identity_sync.models import (
    Registration,
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
)
from rooms.models import Room, RoomMedia, RoomMember, TenantTask, Workspace, WorkspaceMember
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.jobs.jobs_in_redis import load_jobs
from scaiwave.operations.jobs.site import ListedJob
from scaiwave.queue.connection import open_redis
from scaiwave.site.acts import Act, RowSource, get_acts
from scaiwave.web.sessions import SessionStore
from tenants.models import (
    AdminUser,
    AuditEntry,
    DailyFigures,
    DoctorRun,
    Group,
    GroupMembership,
    Participant,
    Partner,
    Role,
    RoleGrant,
    Tenant,
    TokenUsage,
)
from tests.browser.hostile_rows import add_hostile_rows, add_jobs, add_rows_that_offer_acts
from tests.browser.sample_runs import (
    DAY,
    count_numbers,
    make_run,
    make_times,
)
from tests.scaiwave.row_factories import (
    make_event,
    make_media,
    make_participant,
    make_partner,
    make_pending_removal,
    make_room,
    make_row_of_every_model,
    make_tenant,
    make_tenant_task,
    make_workspace,
)
from tests.scaiwave.site.scaikey_sessions import sign_in

MEBIBYTES = 1_048_576
NAMES = (
    *("Aylin Demir", "Bram de Vries", "Chiara Rossi", "Dmitri Orlov", "Eva Nováková"),
    *("Fatima Zahra", "Grace O’Neill", "Hiroshi Tanaka", "Inês Carvalho", "Jonas Lindqvist"),
    *("Katarzyna Wójcik", "Léa Fontaine", "Mohammed Al-Sayed", "Nora Haugen", "Oskar Weiß"),
)
TENANTS = (
    ("acme", "Acme Industries", 48, 50),
    ("borealis", "Borealis Research", 22, 40),
    ("cobalt", "Cobalt Logistics", 31, 30),
    ("delta-dental", "Delta Dental Group", 12, 25),
    ("everbright", "Everbright Energy", 17, 20),
    ("fjord", "Fjord Shipping", 9, None),
    ("greenfield", "Greenfield Schools", 26, 100),
    ("harbour", "Harbour Insurance", 14, 15),
)


def create_sample_site(now: datetime, *, scale: int = 1) -> None:
    """Create tenants with people, rooms and usage, and what operators and syncs did with them.

    `scale` multiplies the people of each tenant, with what they have.
    """
    partners = [make_partner(slug, name=name) for slug, name in _PARTNERS]
    for (slug, name, people, limit), partner in zip(TENANTS, cycle(partners), strict=False):
        tenant = make_tenant(
            slug,
            name=name,
            partner=partner,
            scaikey_tenant_id=f"tnt_{slug}",
            max_participants=limit,
            max_rooms=6,
            max_storage_mb=200,
            max_ai_tokens_month=4_000_000,
            created_at=now - 200 * DAY,
            updated_at=now - 3 * DAY,
        )
        _fill_tenant(tenant, people * scale, now)
    make_tenant("intrepid", name="Intrepid Travel", suspended_by_hand_at=now - 2 * DAY)
    make_tenant("juniper", name="Juniper Legal", scaikey_status="SUSPENDED")
    make_tenant("kestrel", name="Kestrel Media", absent_since=now - 9 * DAY)
    _create_history(now)
    _create_plans(now)
    _create_removals(now)
    _create_tasks(now)
    _create_server(now)


_PARTNERS = (("northwind", "Northwind Cloud"), ("summit", "Summit Partners"))


def _fill_tenant(tenant: Tenant, number: int, now: datetime) -> None:
    people = list(_make_people(tenant, number, now))
    groups = [
        Group.objects.create(
            tenant=tenant,
            name=name,
            scaikey_id=f"grp_{tenant.slug}_{name}",
            **make_times(now - 90 * DAY),
        )
        for name in ("Engineering", "Finance", "Support")
    ]
    GroupMembership.objects.bulk_create(
        GroupMembership(
            tenant=tenant, group=group, member_participant=person, **make_times(now - 90 * DAY)
        )
        for person, group in zip(people, cycle(groups), strict=False)
    )
    _grant_roles(tenant, people[0], groups[0], now)
    _make_rooms(tenant, people, now)
    TokenUsage.objects.bulk_create(
        TokenUsage(
            tenant=tenant,
            month=month,
            input_tokens=60_000 * (number + step),
            output_tokens=20_000 * (number + step),
            total_tokens=80_000 * (number + step),
            fetched_at=now,
        )
        for step, month in enumerate(_list_months(now, 10))
    )


def _make_people(tenant: Tenant, number: int, now: datetime) -> Iterator[Participant]:
    for index, name in zip(range(number), cycle(NAMES), strict=False):
        local_id = name.split()[0].lower() + str(index)
        changes: dict[str, Any] = {}
        if index == 3:
            changes = {"suspended_by_hand_at": now - DAY}
        elif index == 5:
            changes = {"absent_since": now - 6 * DAY}
        yield make_participant(
            tenant,
            local_id,
            display_name=name,
            scaikey_id=f"usr_{tenant.slug}_{index}",
            **{**make_times(now - (150 - index) * DAY), **changes},
        )


def _grant_roles(tenant: Tenant, person: Participant, group: Group, now: datetime) -> None:
    for slug, source in (("tenant_admin", "scaikey"), ("moderator", "manual")):
        role = Role.objects.create(
            tenant=tenant,
            slug=slug,
            name=slug.replace("_", " ").capitalize(),
            is_built_in=source == "scaikey",
            created_at=now - 150 * DAY,
        )
        holders: list[dict[str, Any]] = [{"participant": person}, {"group": group}]
        RoleGrant.objects.bulk_create(
            RoleGrant(
                tenant=tenant,
                role=role,
                source=source,
                granted_by="maria",
                created_at=now - 20 * DAY,
                **holder,
            )
            for holder in holders
        )


def _make_rooms(tenant: Tenant, people: list[Participant], now: datetime) -> None:
    workspace = make_workspace(tenant, "main", name="Main")
    for index, name in enumerate(("Lobby", "Incidents", "Roadmap", "Hiring")):
        room = make_room(
            workspace,
            people[0],
            name,
            **make_times(now - 60 * DAY),
            topic=f"All about {name.lower()}.",
        )
        RoomMember.objects.bulk_create(
            RoomMember(tenant=tenant, room=room, participant=person, joined_at=now - 50 * DAY)
            for person in people[index::4]
        )
        for position in range(1, 4):
            make_event(room, index * 10 + position, created_at=now - position * DAY)
        size = (index + 1) * 14 * MEBIBYTES + len(people) * MEBIBYTES
        media = make_media(tenant, f"{tenant.slug} {name}", size=size)
        RoomMedia.objects.create(
            tenant=tenant, room=room, media=media, name=f"{name.lower()}.png", created_at=now
        )
    Room.objects.filter(workspace=workspace, name="Hiring").update(state="archived")


def _create_history(now: datetime) -> None:
    """Create the syncs of a month, with the failures of today, and what they did."""
    for minutes in range(10, 24 * 60, 10):
        make_run(now - timedelta(minutes=minutes), minutes)
    for days in range(1, 30):
        make_run(now - days * DAY - timedelta(hours=1), 1000 + days, added=90 + days * 37 % 80)
    SyncRun.objects.create(
        operator="scheduler", trigger="cron", outcome="running", started_at=now - timedelta(0, 20)
    )
    tenant = Tenant.objects.get(slug="cobalt")
    SyncSkip.objects.bulk_create(
        SyncSkip(
            tenant=tenant,
            kind="participants",
            subject_scaikey_id=str(person.scaikey_id),
            subject_name=person.display_name,
            reason_code="over_limit",
            first_skipped_at=now - DAY,
            last_skipped_at=now - timedelta(minutes=10),
            runs=144,
        )
        for person in Participant.objects.filter(tenant=tenant).order_by("pk")[:7]
    )


PlannedSpec = tuple[str, bool, dict[str, Any], str]
"""The action of a planned change, whether it is a removal, its values and its reason."""


def _create_plans(now: datetime) -> None:
    """Create a dry run that found something of each kind of change."""
    run = make_run(now - timedelta(minutes=14), 1100, added=3)
    counts = count_numbers(179, added=1, updated=3, deactivated=3, skipped=2)
    run.outcome, run.trigger, run.operator = "planned", "manual", "maria"
    run.counts = {**run.counts, "participants": counts, "memberships": count_numbers(179)}
    run.save()
    left, renamed = {"status": ["active", "deactivated"]}, {"display_name": ["Dmitri", "Dima"]}
    skipped: PlannedSpec = ("skipped", False, {}, "over_limit")
    _plan_for(
        "acme",
        run,
        *[("deactivate", True, left, "removed")] * 3,
        ("update", True, {"roles": [["tenant_admin"], []]}, "changed"),
        *[skipped] * 2,
        *[("update", False, renamed, "changed")] * 2,
        ("add", False, {"email": [None, "eva@example.com"]}, "added"),
    )


def _plan_for(slug: str, run: SyncRun, *changes: PlannedSpec) -> None:
    """Plan changes for the first people of a tenant."""
    people = Participant.objects.filter(tenant__slug=slug).order_by("pk")
    SyncPlannedChange.objects.bulk_create(
        SyncPlannedChange(
            run=run,
            tenant=person.tenant,
            tenant_slug=slug,
            kind="participants",
            action=action,
            is_removal=is_removal,
            subject_id=person.pk,
            subject_scaikey_id=person.scaikey_id or "",
            person_scaikey_id=person.scaikey_id or "",
            subject_name=person.display_name,
            values=values,
            reason_code=reason,
        )
        for person, (action, is_removal, values, reason) in zip(people, changes, strict=False)
    )


def _create_removals(now: datetime) -> None:
    """Let removals wait for a decision: some people of two tenants."""
    for slug, number in (("cobalt", 14), ("greenfield", 6)):
        tenant = Tenant.objects.get(slug=slug)
        people = Participant.objects.filter(tenant=tenant).order_by("pk")[8 : 8 + number]
        for person in people:
            make_pending_removal(
                tenant,
                0,
                at=now - timedelta(hours=3),
                subject_id=person.pk,
                subject_scaikey_id=person.scaikey_id,
                person_scaikey_id=person.scaikey_id,
                subject_name=person.display_name,
                runs=18,
            )


def _create_tasks(now: datetime) -> None:
    """Create exports in each state, and the plan of an erasure."""
    acme, borealis, cobalt, intrepid = (
        Tenant.objects.get(slug=slug) for slug in ("acme", "borealis", "cobalt", "intrepid")
    )
    make_tenant_task(acme, requested_at=now - DAY, ended_at=now - DAY + timedelta(minutes=4))
    phases = [{"name": "Exporting rooms", "done": 3, "total": 6, "has_ended": False}]
    make_tenant_task(borealis, state="running", result={}, requested_at=now, phases=phases)
    error = {
        "code": "SW_DISK_FULL",
        "message": "Not enough disk space to write /var/lib/scaiwave/exports/cobalt/rooms.",
        "fix": "Free some space, then run `scaiwave doctor`.",
    }
    make_tenant_task(cobalt, state="failed", result={}, requested_at=now, error=error)
    counts = {"tenants.Participant": 36, "rooms.Room": 12, "rooms.Event": 4800, "files": 96}
    make_tenant_task(intrepid, kind="plan", result={}, requested_at=now, plan={"counts": counts})


def _create_server(now: datetime) -> None:
    for name, signs, retires, revoked in (
        ("current", now - 320 * DAY, None, None),
        ("previous", now - 690 * DAY, now + 5 * DAY, None),
        ("leaked", now - 900 * DAY, now + 200 * DAY, now - 600 * DAY),
    ):
        ServerKey.objects.create(
            key_id=f"{name}-kF4eBwYp0vD2mQx7LrT1sUaZ9cNh6GjK3oXi",
            public_key="cHVibGlj",
            private_key_encrypted="never to be seen",
            created_at=signs,
            signs_from=signs,
            retires_at=retires,
            revoked_at=revoked,
        )
    KnownPeer.objects.create(
        server_name="chat.partner.example",
        public_key="cHVi",
        protocol_versions=["1.0"],
        first_seen_at=now - 80 * DAY,
        last_seen_at=now - DAY,
        key_changed_at=now - 2 * DAY,
    )
    Registration.objects.create(
        scaikey_url="https://scaikey.example.com",
        request_id="req_1",
        name="ScaiWave Europe",
        scope="GLOBAL",
        contact_email="ops@example.com",
        state="APPROVED",
        client_id="app_scaiwave",
        requested_at=now - 210 * DAY,
        decided_at=now - 209 * DAY,
    )
    _create_records(now)


def _create_records(now: datetime) -> None:
    findings = [
        {
            "check": "disk",
            "state": "warn",
            "message": "The disk is 91 % full.",
            "fix": "Free some.",
        },
        {"check": "database", "state": "ok", "message": "All migrations are applied.", "fix": ""},
    ]
    doctor = {"ran_at": now - timedelta(hours=2), "operator": "root", "is_healthy": True}
    DoctorRun.objects.update_or_create(number=1, defaults={**doctor, "findings": findings})
    DailyFigures.objects.bulk_create(
        DailyFigures(
            day=(now - ago * DAY).date(),
            recorded_at=now - ago * DAY,
            tenants=8,
            members=175 - ago,
            rooms=32 - ago // 6,
            storage_bytes=(900 - 7 * ago) * MEBIBYTES,
        )
        for ago in range(1, 90)
    )
    tenant = Tenant.objects.get(slug="intrepid")
    AuditEntry.objects.bulk_create(
        AuditEntry(
            at=now - timedelta(hours=5 * number),
            operator="maria",
            operator_role="super_admin",
            origin="203.0.113.7",
            action=action,
            tenant_id=str(tenant.pk),
            tenant_slug=tenant.slug,
            subject_type="tenant",
            subject_id=str(tenant.pk),
            subject_name=tenant.slug,
            details=details,
        )
        for number, (action, details) in zip(range(30), cycle(_ACTIONS), strict=False)
    )


_ACTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("suspend-tenant", {"reason": "Invoice 2026-114 unpaid"}),
    ("update-tenant", {"changes": [{"field": "max_rooms", "old": 5, "new": 6}]}),
    ("export-room", {"events": 1200}),
)


NOT_DUE = ("admin-federation-key-generate",)
"""Acts that are refused because of the rows of the site, which has keys."""
NOT_ON_SQLITE = ("sync-unlock",)


def create_site_to_walk() -> dict[str, Any]:
    """Create all rows; return a session, and the addresses of rows and acts to visit.

    `rows` are ids by model: the newest row of each, which has the worst texts if it has any, and
    rows in other states. `acts` are the id of a row by act.
    """
    now = timezone.now()
    for number in (1, 2):
        make_row_of_every_model(number)
    create_sample_site(now)
    add_rows_that_offer_acts(now)
    add_hostile_rows(now)
    add_jobs(now)
    models = [model for model in apps.get_models() if admin.site.is_registered(model)]
    rows = {
        model._meta.label_lower: _list_ids(model._default_manager.order_by("-pk")[:1])
        for model in models
    }
    rows["tenants.tenant"] += _list_ids(Tenant.objects.filter(slug__in=["acme", "intrepid"]))
    rows["tenants.participant"] += _list_ids(Participant.objects.filter(local_id="aylin0.acme"))
    rows["federation.serverkey"] += _list_ids(ServerKey.objects.filter(key_id__contains="-"))
    tasks = TenantTask.objects.order_by("-pk")
    rows["rooms.tenanttask"] = _list_ids(tasks[:4])
    for outcome in ("running", "partial", "refused", "planned"):
        rows["identity_sync.syncrun"] += _list_ids(SyncRun.objects.filter(outcome=outcome)[:1])
    left_out = (*NOT_DUE, *(NOT_ON_SQLITE if connection.vendor == "sqlite" else ()))
    return {
        "session": create_session(),
        "rows": rows,
        "acts": {act.slug: _pick_row_of_act(act) for act in get_acts() if act.slug not in left_out},
    }


def create_large_site_to_walk() -> dict[str, Any]:
    """Create the rows of `create_site_to_walk` among those of 10,000 tenants."""
    now = timezone.now()
    Tenant.objects.bulk_create(
        Tenant(
            slug=f"branch-{number}",
            name=f"Branch {number}",
            max_rooms=number % 9,
            **make_times(now),
        )
        for number in range(10_000)
    )
    return create_site_to_walk()


def create_site_to_use() -> dict[str, Any]:
    """Create the rows without the hostile ones; return sessions by role: of an administrator of the
    platform, of a partner, and of its tenant acme."""
    now = timezone.now()
    create_sample_site(now)
    add_jobs(now)
    ServerKey.objects.all().delete()
    generate_key(operator=get_host_operator(), now=now)
    Tenant.objects.filter(slug="acme").update(max_rooms=None)  # Rooms are imported into it.
    tenant = Tenant.objects.get(slug="acme")
    Partner.objects.filter(tenants=tenant).update(scaikey_id="prt_acme")
    people = Participant.objects.filter(tenant=tenant).order_by("pk").values_list("pk", flat=True)
    Participant.objects.filter(pk=people[0]).update(
        display_name="Anna Berg", suspended_by_hand_at=now - DAY
    )
    workspace = Workspace.objects.get(tenant=tenant)
    WorkspaceMember.objects.create(
        tenant=tenant, workspace=workspace, participant_id=people[1], role="owner", created_at=now
    )
    AdminUser.objects.create_superuser("otto", password="correct horse battery 42")
    partner, own = (
        sign_in("partner_admin", partner="prt_acme", seconds=3600),
        sign_in("tenant_admin", tenant="tnt_acme", seconds=3600),
    )
    return {
        "platform": create_session(),
        "partner": partner.session.session_key,
        "tenant": own.session.session_key,
    }


def create_site_to_picture() -> dict[str, Any]:
    """Create the rows without the hostile ones; return a session and the addresses by name."""
    create_sample_site(timezone.now())
    tenant = Tenant.objects.get(slug="acme")
    run = SyncRun.objects.get(outcome="partial")
    return {
        "session": create_session(),
        "pages": {
            "overview": reverse("admin:index"),
            "tenant": reverse("admin:tenants_tenant_change", args=[tenant.pk]),
            "sync-run": reverse("admin:identity_sync_syncrun_change", args=[run.pk]),
        },
    }


def create_session() -> str:
    """Return the key of a session of an administrator who may do everything."""
    user = AdminUser.objects.create_superuser("maria", password="correct horse battery 42")
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def _list_ids(rows: QuerySet[Any]) -> list[str]:
    return [str(row.pk) for row in rows]


def _pick_row_of_act(act: Act) -> list[str]:
    """Return the id of a row that offers the act; nothing if it is an act of a list."""
    if act.is_of_list:
        assert act.is_offered(None), f"The list does not offer {act.slug}."
        return []
    rows: list[Any]
    if isinstance(act.model, RowSource):
        with open_redis() as redis:
            rows = [ListedJob(job) for job in load_jobs(redis)]
    else:
        rows = list(act.model._default_manager.order_by("pk"))
    offering = [row for row in rows if act.is_offered(row)]
    assert offering, f"No row offers {act.slug}."
    return [str(offering[0].pk)]


def _list_months(now: datetime, number: int) -> list[Any]:
    """Return the first days of the last months, the oldest first."""
    months = now.year * 12 + now.month - 1
    return [
        now.date().replace(year=month // 12, month=month % 12 + 1, day=1)
        for month in range(months - number + 1, months + 1)
    ]
