"""What becomes of a row on the way in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaiwave.clients.scaikey.schemas import (
    GroupRecord,
    MemberRecord,
    PartnerRecord,
    ScaiKeyRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)

KINDS = [PartnerRecord, ScaiKeyTenantRecord, UserRecord, GroupRecord]


def read(kind: type[ScaiKeyRecord], **fields: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(fields), type=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_success_an_id_is_enough(kind: type[ScaiKeyRecord]) -> None:
    row = read(kind, id="x", unheard_of={"a": [1]})
    assert row.id == "x"
    assert row.status == ""
    assert row.key == ("x",)


@pytest.mark.parametrize("kind", [*KINDS, MemberRecord])
def test_success_null_is_the_same_as_missing(kind: type[ScaiKeyRecord]) -> None:
    given = {"user_id": "x"} if kind is MemberRecord else {"id": "x"}
    fields = [field.name for field in msgspec.structs.fields(kind) if field.name not in given]
    assert read(kind, **given, **dict.fromkeys(fields)) == read(kind, **given)


@pytest.mark.parametrize(
    ("sent", "status"),
    [("ACTIVE", "ACTIVE"), (" suspended ", "SUSPENDED"), ("neu", "NEU"), (None, "")],
)
def test_success_status(sent: str | None, status: str) -> None:
    assert read(UserRecord, id="x", status=sent).status == status


@pytest.mark.parametrize("kind", [UserRecord, GroupRecord])
@pytest.mark.parametrize(
    ("sent", "tenant_id"),
    [
        ({"tenant_id": "t"}, "t"),
        ({"tenant": {"id": "t", "name": "T"}}, "t"),
        ({"tenant_id": None, "tenant": {"id": "t"}}, "t"),
        ({"tenant_id": "t", "tenant": {"id": "u"}}, "t"),
        ({"tenant": None}, ""),
        ({"tenant": {"name": "T"}}, ""),
        ({"tenant": {"id": None}}, ""),
    ],
)
def test_success_tenant(kind: type[ScaiKeyRecord], sent: dict[str, Any], tenant_id: str) -> None:
    assert read(kind, id="x", **sent).tenant_id == tenant_id


def test_success_partner_limits() -> None:
    row = read(PartnerRecord, id="x", max_tenants=5, max_users_per_tenant=None)
    assert (row.max_tenants, row.max_users_per_tenant) == (5, None)


def test_fail_number_too_big() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"at `\$.max_tenants`"):
        read(PartnerRecord, id="x", max_tenants=2**63)


@pytest.mark.parametrize(
    ("sent", "roles"),
    [
        (["a", "b"], ("a", "b")),
        ([{"name": "a"}, {"id": 1}, "", 3, None], ("a",)),
        ("a", ("a",)),
        ({"name": "a"}, ("a",)),
        ([{"slug": "a", "name": "The As"}], ("a",)),
        ([], ()),
        (None, None),
        (7, None),
        ({}, None),
        ([{"id": 1}, 3], None),
    ],
)
def test_success_roles(sent: object, roles: tuple[str, ...] | None) -> None:
    assert read(UserRecord, id="x", roles=sent).roles == roles


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ({"user_id": "u"}, ("u", "")),
        ({"user_id": "u", "group_id": "container", "id": "m"}, ("u", "")),
        ({"user": {"id": "u"}}, ("u", "")),
        ({"id": "u", "type": "user"}, ("u", "")),
        ({"member_group_id": "g"}, ("", "g")),
        ({"group_id": "g"}, ("", "g")),
        ({"id": "g", "member_type": "GROUP"}, ("", "g")),
        ({"id": "g", "group_id": "container", "type": "GROUP"}, ("", "g")),
        ({"member_group_id": "g", "group_id": "container"}, ("", "g")),
    ],
)
def test_success_member(sent: dict[str, Any], key: tuple[str, str]) -> None:
    assert read(MemberRecord, **sent).key == key


@pytest.mark.parametrize("sent", [{}, {"id": "x"}, {"user_id": ""}, {"type": "USER"}])
def test_fail_member_without_a_person_or_group(sent: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="The user or group has no id"):
        read(MemberRecord, **sent)


@pytest.mark.parametrize(
    ("sent", "direct"), [(None, True), ("direct", True), ("DIRECT", True), ("INHERITED", False)]
)
def test_success_direct_membership(sent: str | None, direct: bool) -> None:
    assert read(MemberRecord, user_id="u", membership_type=sent).is_direct is direct


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_success_roles_of_any_shape(sent: Any) -> None:
    roles = read(UserRecord, id="x", roles=sent).roles
    assert roles is None or isinstance(roles, tuple)
    assert all(isinstance(role, str) for role in roles or ())
