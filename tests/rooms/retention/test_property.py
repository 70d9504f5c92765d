"""Whatever the policies, holds, rooms and dates: only what a policy reaches goes, and all of it.

A model in Python says which events go, which stay as tombstones, and which stay as they are.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from rooms.bundle.format import REFERENCE_KEYS
from rooms.models import Event, Media, RetentionPolicy, Room, RoomMedia, SearchDocument
from rooms.retention.policies import PolicyValues, set_retention
from rooms.retention.run_retention import preview_retention, run_retention
from tenants.holds.hold import add_hold
from tenants.models import Hold, Participant, Tenant
from tests.rooms.exports.factories import attach_media
from tests.rooms.search.factories import backfill
from tests.scaiwave.row_factories import make_participant, make_room, make_tenant, make_workspace
from tests.tenants.factories import HOST_OPERATOR, NOW
from tests.tools import count_examples

pytestmark = pytest.mark.django_db

MESSAGE, REACTION, REDACTION = "swp.room.message", "swp.room.reaction", "swp.room.redaction"
KINDS = (MESSAGE, MESSAGE, MESSAGE, REACTION, REACTION, REDACTION, "swp.room.topic", "org.x")
Image = tuple[str, Any, Any, bool]
"""Type, content, first content, and whether an event is redacted."""


class World:
    """Two tenants with rooms, events that refer to each other, files, policies and holds."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.position = 0
        self.rooms: list[Room] = []
        self.people: list[Participant] = []
        for slug in ("acme", "lab"):
            tenant = make_tenant(slug, scaikey_tenant_id=f"tnt_{slug}")
            people = [make_participant(tenant, name) for name in ("anna", "bo")]
            workspace = make_workspace(tenant)
            self.rooms += [make_room(workspace, people[0], name) for name in ("a", "b")]
            self.people += people
        for room in self.rooms:
            for _ in range(self.chance.randrange(18)):
                self.add_event(room)
        for room in self.rooms:
            self.set_policy(room.tenant, room)
        for tenant in Tenant.objects.all():
            self.set_policy(tenant)
        self.set_policy()
        self.add_holds()

    def add_event(self, room: Room) -> None:
        chance, earlier = self.chance, list(Event.objects.filter(room=room).order_by("pk"))
        kind = chance.choice(KINDS)
        content: dict[str, Any] = {"msgtype": "swp.text", "body": f"word{self.position}"}
        original = None
        if kind in REFERENCE_KEYS and earlier and chance.random() < 0.8:
            content[REFERENCE_KEYS[kind]] = str(chance.choice(earlier).pk)
        if kind == MESSAGE and chance.random() < 0.2:
            content["media_id"] = str(self.attach(room, f"file{chance.randrange(3)}").pk)
        if kind == MESSAGE and chance.random() < 0.2:
            original, content = content, {**content, "body": "edited"}
        self.position += 1
        sent_at = NOW - timedelta(days=chance.choice((1, 5, 15, 25, 40)), hours=1)
        Event.objects.create(
            tenant=room.tenant,
            room=room,
            sender=chance.choice(
                [each for each in self.people if each.tenant_id == room.tenant_id]
            ),
            event_type=kind,
            content=content,
            original_content=original,
            stream_position=self.position,
            origin_ts=int(sent_at.timestamp()),
            created_at=sent_at,
            edited_at=NOW if original else None,
            redacted_at=NOW if chance.random() < 0.1 else None,
        )

    def attach(self, room: Room, name: str) -> Media:
        """Attach a file that other rooms of the tenant may have too."""
        media = Media.objects.filter(tenant=room.tenant, in_rooms__name=name).first()
        if media is None:
            return attach_media(room, name.encode(), name)
        values = {"tenant": room.tenant, "created_at": NOW}
        RoomMedia.objects.get_or_create(room=room, media=media, name=name, defaults=values)
        return media

    def set_policy(self, tenant: Tenant | None = None, room: Room | None = None) -> None:
        if self.chance.random() < 0.5:
            days = self.chance.choice((None, 10, 20, 30))
            content_only = days is not None and self.chance.random() < 0.4
            set_retention(
                operator=HOST_OPERATOR,
                values=PolicyValues(days, None, content_only),
                reason="",
                confirm=lambda question: None,
                now=NOW,
                tenant=str(tenant.pk) if tenant else None,
                room=str(room.pk) if room else None,
            )

    def add_holds(self) -> None:
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            room, person = self.chance.choice(self.rooms), self.chance.choice(self.people)
            subject: dict[str, Any] = self.chance.choice(
                [
                    {"tenant": str(room.tenant_id)},
                    {"tenant": str(room.tenant_id), "room": str(room.pk)},
                    {"participant": str(person.pk)},
                ]
            )
            add_hold(operator=HOST_OPERATOR, reason="court", now=NOW, **subject)

    # The model.

    def predict(self, room: Room) -> dict[UUID, Image]:
        events = {each.pk: each for each in Event.objects.filter(room=room)}
        policies = {each.scope: each for each in RetentionPolicy.objects.all()}
        scopes = (f"room={room.pk}", f"tenant={room.tenant_id}", "server")
        policy = next((policies[scope] for scope in scopes if scope in policies), None)
        images = {key: make_image(event) for key, event in events.items()}
        if policy is None or policy.days is None:
            return images
        cutoff = NOW - timedelta(days=policy.days)
        free = {key: each for key, each in events.items() if not is_held(each)}
        going = {key for key, each in free.items() if each.created_at < cutoff}
        about = (REACTION,) if policy.content_only else (REACTION, REDACTION)
        gone: set[UUID] = set()
        while new := {
            key
            for key, each in free.items()
            if key not in going | gone and each.event_type in about
            and set(get_targets(each)) & (going | gone)
        }:  # fmt: skip
            gone |= new
        staying, deleted = events.keys() - going - gone, going | gone
        if policy.content_only:
            staying |= {key for key in going if events[key].event_type == REDACTION}
            deleted = gone | {key for key in going if events[key].event_type == REACTION}
        kept = {target for key in staying for target in get_targets(events[key])} & deleted
        bare, gone = (going - deleted) | kept, deleted - kept
        return {
            key: make_bare(image, keeps_redactions=policy.content_only) if key in bare else image
            for key, image in images.items()
            if key not in gone
        }


def is_held(event: Event) -> bool:
    return any(
        hold.participant_id == event.sender_id
        if hold.participant_id
        else hold.room_id == event.room_id
        if hold.room_id
        else hold.tenant_id == event.tenant_id
        for hold in Hold.objects.all()
    )


def get_targets(event: Event) -> list[UUID]:
    key = REFERENCE_KEYS.get(event.event_type, "")
    contents = [event.content, event.original_content or {}]
    return [UUID(each[key]) for each in contents if key in each]


def make_image(event: Event) -> Image:
    is_redacted = event.redacted_at is not None
    return event.event_type, event.content, event.original_content, is_redacted


def make_bare(image: Image, *, keeps_redactions: bool) -> Image:
    kind, content, _, is_redacted = image
    if kind == REDACTION and keeps_redactions:
        return kind, content, None, is_redacted
    return kind, {"msgtype": "swp.text", "body": ""} if kind == MESSAGE else {}, None, True


@pytest.mark.parametrize("seed", range(count_examples(40)))
def test_only_what_a_policy_reaches_goes(seed: int) -> None:
    world = World(seed)
    backfill()
    expected = {room.pk: world.predict(room) for room in world.rooms}
    previewed = preview_retention(operator=HOST_OPERATOR, now=NOW)
    unchanged = {room.pk: world.predict(room) for room in world.rooms}
    assert unchanged == expected  # The preview writes nothing.
    result = run_retention(operator=HOST_OPERATOR, confirm=lambda question: None, now=NOW)
    for room in world.rooms:
        events = {each.pk: each for each in Event.objects.filter(room=room)}
        assert {key: make_image(each) for key, each in events.items()} == expected[room.pk]
        assert {key for each in events.values() for key in get_targets(each)} <= set(events)
        used = {
            content["media_id"]
            for each in events.values()
            for content in (each.content, each.original_content or {})
            if "media_id" in content
        }
        attached = RoomMedia.objects.filter(room=room).values_list("media", flat=True)
        assert used <= set(map(str, attached))
    documents = SearchDocument.objects.values_list("event", flat=True)
    assert set(documents) <= set(
        Event.objects.filter(redacted_at=None, event_type=MESSAGE).values_list("pk", flat=True)
    )
    assert result.figures["totals"] == previewed.figures["totals"]
    again = run_retention(operator=HOST_OPERATOR, confirm=lambda question: None, now=NOW)
    assert not again.figures["rooms"]
