"""Exports that other servers have signed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from federation.keys.lifecycle import generate_key
from federation.models import KnownPeer, ServerKey
from rooms.errors import (
    TenantExportUntrusted,
    TenantImportPeople,
    TenantImportRefused,
)
from rooms.lookup.authors import find_erasures
from rooms.models import Event
from tenants.models import Participant, Tenant
from tenants.people.purge_participant import purge_participant
from tests.rooms.moves.factories import (
    NOW,
    bring,
    bring_alike,
    tick,
    verify,
)
from tests.rooms.moves.forged_exports import (
    Change,
    Index,
    forge,
    refuses,
    rewrite,
    rewrite_room,
)
from tests.tenants.factories import HOST_OPERATOR, make_tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]


@pytest.fixture
def far(out: Path) -> Callable[..., Any]:
    """Bring a forged export of old.example, which has another key; return the differences."""
    theirs = ServerKey.objects.get()

    def bring_forged(*changes: Change) -> Any:
        directory = out.parent / f"forged {tick():%H%M%S}"
        shutil.copytree(out, directory)
        ServerKey.objects.all().delete()
        theirs.save()
        forge(directory, *changes, lambda d, i: i.update(server_name="old.example"))
        ServerKey.objects.all().delete()
        generate_key(operator=HOST_OPERATOR, now=tick())
        bring(directory, key=f"ed25519:{theirs.public_key}")
        return verify(directory, "moved", key=f"ed25519:{theirs.public_key}").lists["differences"]

    return bring_forged


SPELLINGS = (
    "@anna.acme:OLD.example:443", "@ANNA.acme:LocalHost", "@an\u200bna.acme:old.example",
    "@anna.acme:old\u3002example", "anna.acme:old.example", "", None,
)  # fmt: skip


def _add_event(manifest: Any, sender: str, body: str, fqid: object = 0, **changes: Any) -> None:
    content: Index = {"body": body}
    if fqid != 0:
        url = "http://169.254.169.254/latest"
        name = {"display_name": "Anna (CEO)", "avatar_url": url, "fqid": fqid}
        content["_imported_sender"] = name
    first, *_, last = events = manifest["events"]
    here = {"id": str(uuid4()), "stream_position": last["stream_position"] + 1}
    events.append({**first, "sender_id": sender, "content": content, **here, **changes})


def test_success_original_senders(out: Path, far: Callable[..., Any]) -> None:
    """In one form, which an erasure finds; of this server they prove nothing."""
    anna, bert = (
        str(Participant.objects.get(local_id=f"old-{name}.acme").pk) for name in ("anna", "bert")
    )

    known = str(uuid4())

    def speak(manifest: Any, author: str = anna) -> None:
        for fqid in SPELLINGS:
            _add_event(manifest, bert if fqid else anna, "secret", fqid)
        _add_event(manifest, author, "secret", id=known)
        _add_event(manifest, bert, "boss", "@Boss:localhost:443")
        _add_event(manifest, bert, "stranger", "boss")

    def paint(rows: list[Any]) -> None:
        for row in rows:
            row.update(avatar_url="javascript:alert(1)")

    assert far(rewrite_room(speak), rewrite("people", paint)) == []
    here = Tenant.objects.get(slug="moved")
    assert set(here.participants.values_list("avatar_url", flat=True)) == {""}
    events = Event.objects.filter(tenant=here)
    secret = events.filter(content__body="secret")
    given = [each.content.get("_imported_sender") for each in secret.order_by("stream_position")]
    assert given.pop() is None
    senders = list(filter(None, given))
    found = [(each["fqid"], each.get("unverified", False)) for each in senders]
    there = ("@anna.acme:old.example", False)
    assert found == [
        there, ("@anna.acme:localhost", True), there, there, there, ("", True), ("", True),
    ]  # fmt: skip
    assert {each["avatar_url"] for each in senders} == {""}
    for body, fqid in (("boss", "@boss:localhost"), ("stranger", "boss")):
        sender = events.get(content__body=body).content["_imported_sender"]
        assert (sender["fqid"], sender.get("unverified")) == (fqid, True)
    purge_participant(
        operator=HOST_OPERATOR, name=str(here.participants.get(local_id="anna.acme").pk), reason="",
        confirm=lambda question: None, now=tick(), with_messages=True,
    )  # fmt: skip
    assert secret.count() == 0

    # Nor do they come back: under another row with an address of hers, or with a later time as long
    # as she has not returned; and an event that is empty here stays so, under every sender.
    alias, stranger = str(uuid4()), str(uuid4())
    late = {"created_at": f"{tick():%Y-%m-%dT%H:%M:%S.%fZ}"}

    def come_back(manifest: Any) -> None:
        sender = manifest["senders"][anna]
        manifest["senders"][alias] = dict(sender, fqid="@anna.acme:Old.example")
        manifest["senders"][stranger] = dict(sender, fqid="@stranger:old.example")
        speak(manifest, stranger)
        _add_event(manifest, alias, "secret")
        _add_event(manifest, alias, "later", **late)
        _add_event(manifest, anna, "secret", created_at="2099-01-01T00:00:00.000000Z")

    def add_people(rows: list[Any]) -> None:
        row = next(row for row in rows if row["id"] == anna)
        for key, name in ((alias, "anna2"), (stranger, "stranger")):
            rows.append({**row, "id": key, "scaikey_id": None, "email": "", "local_id": name})

    far(rewrite_room(come_back), rewrite("people", add_people))
    assert events.filter(content__body__in=["secret", "later"]).count() == 0
    contents = events.values_list("content", flat=True)
    authors = [each["_imported_sender"] for each in contents if "_imported_sender" in each]
    names = {each["display_name"] for each in authors if "anna" in each["fqid"]}
    assert names == {"Deleted user"}
    here.participants.filter(local_id="anna.acme").update(absent_since=None, purged_at=None)
    far(rewrite_room(come_back), rewrite("people", add_people))
    assert (secret.count(), events.filter(content__body="later").count()) == (0, 1)


def test_fail_unknown_key(out: Path, tmp_path: Path) -> None:
    """Another server needs the key, or the descriptor with it."""
    key = "ed25519:" + ServerKey.objects.get().public_key
    ServerKey.objects.all().delete()
    generate_key(operator=HOST_OPERATOR, now=tick())
    refuses(out, "SW_TENANT_EXPORT_UNTRUSTED")
    descriptor = tmp_path / "descriptor.json"
    descriptor.write_text(json.dumps({"public_key": key}))
    assert verify(out, operator=None, key=key).error is None
    assert verify(out, operator=None, descriptor=descriptor).error is None
    ServerKey.objects.all().delete()
    for refused in ({}, {"key": key}):
        with pytest.raises(TenantExportUntrusted):
            verify(out, **refused)
    descriptor.write_text(json.dumps({"public_key": key, "server_name": "localhost"}))
    assert bring(out, descriptor=descriptor).changed


def test_fail_name_of_another_server(out: Path, tmp_path: Path) -> None:
    """The key or its descriptor, or else a known peer, says which server an export is from."""
    forge(out, lambda d, i: i.update(server_name="old.example.org"))
    (stored,) = ServerKey.objects.values("key_id", "public_key")
    key, key_id = f"ed25519:{stored['public_key']}", stored["key_id"]
    ServerKey.objects.all().delete()
    descriptor = tmp_path / "descriptor.json"
    names = {name: KnownPeer(server_name=name, first_seen_at=NOW, last_seen_at=NOW) for name in (
        "old.example.org", "third.example.org",
    )}  # fmt: skip

    def refuse(**options: Any) -> None:
        for act in (verify, bring_alike):
            with pytest.raises(TenantExportUntrusted) as caught:
                act(out, **options)
            assert str(caught.value) == (
                "The signature of the export is not accepted. "
                f"Key {key_id} is not a key of old.example.org."
            )
            assert caught.value.fix == (
                "If you trust old.example.org, pass its descriptor with --descriptor."
            )

    descriptor.write_text(json.dumps({"public_key": key, "server_name": "third.example.org"}))
    refuse(descriptor=descriptor)
    refuse(descriptor=descriptor, key=key)
    names["third.example.org"].public_key = stored["public_key"]
    names["old.example.org"].public_key = "another"
    for peer in names.values():
        peer.save()
        refuse(key=key)
        peer.delete()
    descriptor.write_text(json.dumps({"public_key": key, "server_name": "Old.example.org.:443"}))
    named = verify(out, descriptor=descriptor).sentence
    assert named == "The export is valid, signed by old.example.org."
    assert verify(out, operator=None, key=key).sentence == (
        f"The export is valid, signed by key {key_id}, which proves no server name."
    )
    assert bring(out, dry_run=True, descriptor=descriptor).warnings == []
    assert bring_alike(out, key=key).warnings == [
        f"The export is signed by key {key_id}, which proves no server name. To verify the name, "
        "pass --descriptor."
    ]


def test_fail_later_export_of_another_server(out: Path) -> None:
    bring(out)
    ServerKey.objects.update(published_as="other.example")
    forge(out, lambda d, i: i.update(server_name="Other.example:443"))
    with pytest.raises(TenantImportRefused) as caught:
        bring_alike(out)
    assert str(caught.value) == ("Tenant moved was imported from localhost, not Other.example:443.")
    assert caught.value.fix == "Nothing was imported. Name the right slug and directory."


def test_fail_people_of_this_server(out: Path, tmp_path: Path) -> None:
    """No row may get an address here as a person of another server, in any spelling."""

    def add(name: str) -> Change:
        def change(rows: list[Any]) -> list[Any]:
            row = {**rows[0], "id": str(uuid4()), "scaikey_id": None, "local_id": "ruth.bell"}
            row |= {"server_name": name, "participant_type": "federated", "email": ""}
            return [*rows, row | {"purged_at": "2020-01-01T00:00:00Z"}]

        return rewrite("people", change)

    for number, name in enumerate(
        ("localhost", "LocalHost", "localhost:443", "LOCALHOST.", "local\u200bhost", "localhost。")
    ):
        shutil.copytree(out, tmp_path / str(number))
        forge(tmp_path / str(number), add(name))
        assert bring(tmp_path / str(number), dry_run=True).lists["refused"] == [
            {"fqid": f"@ruth.bell:{name}", "reason": "this can't be the name of a third server"}
        ]
        with pytest.raises(TenantImportPeople):
            bring_alike(tmp_path / str(number))
    shutil.copytree(out, tmp_path / "twice")
    forge(tmp_path / "twice", add("Third.example"), add("third.example.:443"))
    refuses(tmp_path / "twice", "SW_TENANT_EXPORT_DAMAGED")
    forge(out, add("Third.Example.:443"))
    bring_alike(out)
    here = Participant.objects.get(local_id="ruth.bell")
    assert (here.server_name, here.purged_at) == ("third.example", None)
    assert "@ruth.bell:third.example" not in find_erasures(make_tenant("nordlys").pk)
    assert verify(out, "moved").error is None
