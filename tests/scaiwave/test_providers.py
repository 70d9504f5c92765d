from __future__ import annotations

from uuid import UUID, uuid4

from scaiwave import providers


def test_success_tenant_columns() -> None:
    ids = [uuid4(), uuid4()]
    before = dict(providers._tenant_columns)
    providers._tenant_columns.clear()
    try:
        providers.register_tenant_columns("probe", lambda asked: dict.fromkeys(asked, 7))
        assert providers.tenant_columns(ids) == {"probe": {ids[0]: 7, ids[1]: 7}}
    finally:
        providers._tenant_columns.clear()
        providers._tenant_columns.update(before)


def test_success_participant_facts_once_and_in_order() -> None:
    def first(participant_id: UUID) -> list[tuple[str, object]]:
        return [("First", participant_id)]

    def second(participant_id: UUID) -> list[tuple[str, object]]:
        return [("Second", 1), ("Third", None)]

    before = list(providers._participant_facts)
    providers._participant_facts.clear()
    try:
        for tell in (first, second, first):
            providers.register_participant_facts(tell)
        who = uuid4()
        assert providers.participant_facts(who) == [("First", who), ("Second", 1), ("Third", None)]
    finally:
        providers._participant_facts[:] = before


def test_success_role_uses_once_and_in_order() -> None:
    def first(tenant_id: UUID, slug: str) -> list[str]:
        return [f"{slug} of {tenant_id}"]

    def second(tenant_id: UUID, slug: str) -> list[str]:
        return ["room A", "room B"]

    before = list(providers._role_uses)
    providers._role_uses.clear()
    try:
        for find in (first, second, first):
            providers.register_role_uses(find)
        where = uuid4()
        assert providers.role_uses(where, "crew") == [f"crew of {where}", "room A", "room B"]
    finally:
        providers._role_uses[:] = before


def test_success_nobody_knows_the_tenant() -> None:
    before = list(providers._tenant_slug)
    providers._tenant_slug.clear()
    try:
        assert providers.tenant_slug("tnt_1") is None
        providers.register_tenant_slug({"tnt_1": "acme"}.get)
        assert providers.tenant_slug("tnt_1") == "acme"
    finally:
        providers._tenant_slug[:] = before
