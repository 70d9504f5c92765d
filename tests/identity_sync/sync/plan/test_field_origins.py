"""A full sync writes again what is declared as ScaiKey's, and leaves what is declared as local."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    ForeignKey,
    JSONField,
    Model,
    PositiveBigIntegerField,
    PositiveIntegerField,
)

from scaiwave.sandbox import Sandbox
from tenants.models import Group, Participant, Partner
from tests.field_origins import Origin, get_fields, get_names
from tests.identity_sync.sync.helpers import SYNCED_MODELS, sync

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=20, groups=3),
]
MOMENT = datetime(2020, 2, 2, tzinfo=UTC)
UNCHANGEABLE = {"id", "participant_type", "server_name", "local_id"}
"""Local fields by which rows are addressed or which a constraint binds."""


def pick_row(model: type[Model]) -> Model:
    """Return a row of the directory that was synced."""
    rows = model._default_manager.filter(absent_since=None).order_by("pk")
    if model in (Participant, Group):
        rows = rows.exclude(scaikey_id=None)
    row = rows.first()
    assert row is not None
    return row


def make_other_value(field: Field[Any, Any], value: Any) -> Any:
    match field:
        case ForeignKey():
            assert field.related_model is Partner
            return Partner.objects.exclude(pk=value).values_list("pk", flat=True)[0]
        case DateTimeField():
            return MOMENT
        case BooleanField():
            return not value
        case PositiveIntegerField() | PositiveBigIntegerField():
            return (value or 0) + 12_345
        case JSONField():
            return {"other": True}
        case CharField():
            return f"{value}x"
    raise AssertionError(f"No other value is known for {field}.")


def read_values(row: Model, names: list[str]) -> dict[str, Any]:
    fields = get_fields(type(row))
    return {name: getattr(row, fields[name].attname) for name in names}


def change(row: Model, names: list[str]) -> dict[str, Any]:
    """Give each of the fields another value, and return the new ones."""
    fields = get_fields(type(row))
    values = {
        fields[name].attname: make_other_value(fields[name], getattr(row, fields[name].attname))
        for name in names
    }
    type(row)._default_manager.filter(pk=row.pk).update(**values)
    row.refresh_from_db()
    return read_values(row, names)


@pytest.mark.parametrize("model", SYNCED_MODELS, ids=lambda model: model.__name__)
def test_success_a_sync_writes_the_fields_of_scaikey_again(
    model: type[Model], synced: Sandbox
) -> None:
    row = pick_row(model)
    names = get_names(model, Origin.SCAIKEY)
    before = read_values(row, names)
    changed = change(row, names)
    assert [name for name in names if changed[name] == before[name]] == []
    sync()
    row.refresh_from_db()
    assert read_values(row, names) == before


@pytest.mark.parametrize("model", SYNCED_MODELS, ids=lambda model: model.__name__)
def test_success_a_sync_leaves_local_fields(model: type[Model], synced: Sandbox) -> None:
    row = pick_row(model)
    names = [name for name in get_names(model, Origin.LOCAL) if name not in UNCHANGEABLE]
    changed = change(row, names)
    sync()
    row.refresh_from_db()
    assert read_values(row, names) == changed


@pytest.mark.parametrize("model", SYNCED_MODELS, ids=lambda model: model.__name__)
def test_success_a_sync_makes_lost_rows_again(model: type[Model], scaikey: Sandbox) -> None:
    """All that is declared as ScaiKey's or as a key, after the whole directory was lost."""
    sync()
    names = [*get_names(model, Origin.KEY), *get_names(model, Origin.SCAIKEY)]
    before = read_rows(model, names)
    for synced in reversed(SYNCED_MODELS):
        synced._default_manager.all().delete()
    sync()
    after = read_rows(model, names)
    assert before
    assert after == before


def read_rows(model: type[Model], names: list[str]) -> list[str]:
    """Return the values of all rows, with ScaiKey's IDs in place of our own."""
    rows = model._default_manager.all()
    return sorted(repr([_name(getattr(row, name)) for name in names]) for row in rows)


def _name(value: Any) -> Any:
    if isinstance(value, Model):
        return getattr(value, "scaikey_id", None) or getattr(value, "scaikey_tenant_id", None)
    assert not isinstance(value, UUID)
    return value
