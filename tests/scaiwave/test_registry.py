from __future__ import annotations

from uuid import UUID, uuid4

from scaiwave import registry


def test_success_tenant_columns() -> None:
    ids = [uuid4(), uuid4()]
    before = dict(registry._tenant_columns)
    registry._tenant_columns.clear()
    try:
        registry.register_tenant_columns("probe", lambda tenant_ids: dict.fromkeys(tenant_ids, 7))
        assert registry.get_tenant_columns(ids) == {"probe": {ids[0]: 7, ids[1]: 7}}
    finally:
        registry._tenant_columns.clear()
        registry._tenant_columns.update(before)


def test_success_participant_details_once_and_in_order() -> None:
    def first(participant_id: UUID) -> list[tuple[str, object]]:
        return [("First", participant_id)]

    def second(participant_id: UUID) -> list[tuple[str, object]]:
        return [("Second", 1), ("Third", None)]

    before = list(registry._participant_details)
    registry._participant_details.clear()
    try:
        for tell in (first, second, first):
            registry.register_participant_details(tell)
        who = uuid4()
        assert registry.get_participant_details(who) == [
            ("First", who),
            ("Second", 1),
            ("Third", None),
        ]
    finally:
        registry._participant_details[:] = before


def test_success_participant_changes_once_and_in_order() -> None:
    def find_first(participant_id: UUID) -> list[dict[str, object]]:
        return [{"subject_id": participant_id}]

    def find_second(participant_id: UUID) -> list[dict[str, object]]:
        return [{"subject_id": None}]

    before = list(registry._participant_changes)
    registry._participant_changes.clear()
    try:
        for find in (find_first, find_second, find_first):
            registry.register_participant_changes(find)
        who = uuid4()
        changes = registry.get_participant_changes(who)
        assert [row["subject_id"] for row in changes] == [who, None]
    finally:
        registry._participant_changes[:] = before


def test_success_role_uses_once_and_in_order() -> None:
    def first(tenant_id: UUID, slug: str) -> list[str]:
        return [f"{slug} of {tenant_id}"]

    def second(tenant_id: UUID, slug: str) -> list[str]:
        return ["room A", "room B"]

    before = list(registry._role_uses)
    registry._role_uses.clear()
    try:
        for find in (first, second, first):
            registry.register_role_uses(find)
        where = uuid4()
        assert registry.find_role_uses(where, "crew") == [f"crew of {where}", "room A", "room B"]
    finally:
        registry._role_uses[:] = before


def test_success_tenant_unknown_to_every_app() -> None:
    before = list(registry._tenant_slug)
    registry._tenant_slug.clear()
    try:
        assert registry.resolve_tenant_slug("tnt_1") is None
        registry.register_tenant_slug({"tnt_1": "acme"}.get)
        assert registry.resolve_tenant_slug("tnt_1") == "acme"
    finally:
        registry._tenant_slug[:] = before


def test_success_suspended_if_the_registered_check_finds_it() -> None:
    before = list(registry._suspension_check)
    registry._suspension_check.clear()
    try:
        assert not registry.is_suspended("usr_1")
        registry.register_suspension_check({"usr_1"}.__contains__)
        assert registry.is_suspended("usr_1")
        assert not registry.is_suspended("usr_2")
    finally:
        registry._suspension_check[:] = before
