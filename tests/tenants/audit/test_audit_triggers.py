from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, models, transaction

from scaiwave.operations.doctor.tenants import check_audit
from scaiwave.storage import error_mapping
from tenants.audit.record import record_audit
from tenants.audit.triggers import (
    allow_audit_deletion,
    install_audit_triggers,
    missing_triggers,
    remove_audit_triggers,
    trigger_names,
)
from tenants.errors import AuditTriggersMissing
from tenants.models import AuditEntry
from tests.tenants.factories import HOST_OPERATOR, NOW, make_tenant

REFUSAL = "sw_audit_entries is append-only"


def entry(action: str = "create-tenant") -> AuditEntry:
    return record_audit(operator=HOST_OPERATOR, action=action, subject=make_tenant(), now=NOW)


def triggers() -> set[str]:
    """Those of the audit."""
    catalogue = {
        "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = %s",
        "postgresql": "SELECT tgname FROM pg_trigger "
        "WHERE tgenabled = 'O' AND NOT tgisinternal AND tgrelid = to_regclass(%s)",
    }
    with connection.cursor() as cursor:
        cursor.execute(catalogue[connection.vendor], [AuditEntry._meta.db_table])
        return {name for (name,) in cursor.fetchall()}


def execute(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def update(one: AuditEntry) -> None:
    AuditEntry.objects.filter(pk=one.pk).update(operator="changed")


def save(one: AuditEntry) -> None:
    one.action = "other"
    one.save()


def upsert(one: AuditEntry) -> None:
    AuditEntry.objects.bulk_create(
        [one], update_conflicts=True, update_fields=["operator"], unique_fields=["id"]
    )


def delete(one: AuditEntry) -> None:
    one.delete()


def empty(one: AuditEntry) -> None:
    execute("DELETE FROM sw_audit_entries")


WAYS: list[Callable[[AuditEntry], None]] = [update, save, upsert, delete, empty]


def refuses(act: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=REFUSAL), transaction.atomic():
        act()


@pytest.mark.django_db
def test_success_triggers_exist() -> None:
    assert triggers() == set(trigger_names(connection.vendor))


@pytest.mark.django_db
@pytest.mark.parametrize("way", WAYS)
def test_fail_changed(way: Callable[[AuditEntry], None]) -> None:
    one = entry()
    refuses(lambda: way(one))
    assert AuditEntry.objects.get().action == "create-tenant"
    assert AuditEntry.objects.get().operator == "root"


@pytest.mark.django_db
@pytest.mark.only_on("postgresql")
def test_fail_truncated() -> None:
    entry()
    refuses(lambda: execute("TRUNCATE sw_audit_entries"))
    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db
def test_success_retention_may_delete() -> None:
    one = entry()
    tenant = make_tenant("other")
    other = record_audit(operator=HOST_OPERATOR, action="second", subject=tenant, now=NOW)
    with allow_audit_deletion():
        delete(one)
        if connection.vendor == "postgresql":
            refuses(lambda: save(other))
            refuses(lambda: execute("TRUNCATE sw_audit_entries"))
    refuses(lambda: delete(other))


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_on("postgresql")
def test_fail_retention_failed() -> None:
    one = entry()
    with pytest.raises(ZeroDivisionError), transaction.atomic(), allow_audit_deletion():
        raise ZeroDivisionError
    refuses(lambda: delete(one))


@pytest.mark.django_db
@pytest.mark.only_on("postgresql")
def test_fail_deleted_by_a_user_who_does_not_own_the_table() -> None:
    """This user may not drop the triggers either."""
    entry()
    execute("CREATE ROLE sw_reader")
    execute("GRANT SELECT, DELETE ON sw_audit_entries TO sw_reader")
    execute("SET LOCAL ROLE sw_reader")
    with allow_audit_deletion():
        refuses(lambda: execute("DELETE FROM sw_audit_entries"))
    execute("RESET ROLE")
    execute("DROP OWNED BY sw_reader")
    execute("DROP ROLE sw_reader")


@pytest.mark.django_db
@pytest.mark.only_on("sqlite")
def test_fail_replaced() -> None:
    entry()
    columns = "at, operator, operator_role, origin, action, tenant_id, tenant_slug, "
    columns += "subject_type, subject_id, subject_name, details"
    replace = f"REPLACE INTO sw_audit_entries (id, {columns}) SELECT id, {columns} "
    refuses(lambda: execute(f"{replace} FROM sw_audit_entries"))


@pytest.mark.django_db
def test_success_entries_can_still_be_added() -> None:
    entry()
    record_audit(operator=HOST_OPERATOR, action="second", subject=make_tenant("other"), now=NOW)
    assert AuditEntry.objects.count() == 2


@pytest.mark.django_db
def test_success_no_foreign_keys() -> None:
    """An entry outlives its subject, and no deletion cascades to it."""
    assert not [field for field in AuditEntry._meta.get_fields() if field.is_relation]


@pytest.mark.django_db(transaction=True)
def test_success_triggers_return_after_a_migration_that_rebuilds_the_table() -> None:
    one = entry()
    before = AuditEntry._meta.get_field("origin")
    longer = models.CharField(max_length=300, blank=True)
    longer.set_attributes_from_name("origin")
    longer.model = AuditEntry
    for fields in ((before, longer), (longer, before)):
        with connection.schema_editor() as editor:
            editor.alter_field(AuditEntry, *fields)
        assert connection.vendor != "sqlite" or not triggers()
        call_command("migrate", verbosity=0)
        assert triggers() == set(trigger_names(connection.vendor))
        refuses(lambda: update(one))


@pytest.mark.django_db(transaction=True)
def test_success_triggers_return_after_a_flush() -> None:
    """As it happens after each test with real commits."""
    entry()
    remove_audit_triggers()
    assert triggers() == set()
    call_command("flush", verbosity=0, interactive=False)
    assert not AuditEntry.objects.exists()
    assert triggers() == set(trigger_names(connection.vendor))


@pytest.mark.django_db(transaction=True)
def test_fail_flushed() -> None:
    entry()
    with pytest.raises(CommandError):
        call_command("flush", verbosity=0, interactive=False)
    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db
def test_success_a_changed_trigger_is_created_again() -> None:
    name = trigger_names(connection.vendor)[0]
    on = " ON sw_audit_entries" if connection.vendor == "postgresql" else ""
    execute(f"DROP TRIGGER {name}{on}")
    assert name not in triggers()
    assert missing_triggers() == [name]
    with pytest.raises(AuditTriggersMissing) as caught:
        list(check_audit(settings.CONFIG, NOW))
    assert caught.value.message == f"The audit log is not protected: triggers are missing: {name}."
    install_audit_triggers()
    install_audit_triggers()
    assert name in triggers()
    assert [finding.message for finding in check_audit(settings.CONFIG, NOW)] == [
        "The audit log is append-only."
    ]


@pytest.mark.django_db
@pytest.mark.only_on("postgresql")
def test_success_a_disabled_trigger_is_created_again() -> None:
    execute("ALTER TABLE sw_audit_entries DISABLE TRIGGER USER")
    assert missing_triggers() == trigger_names("postgresql")
    install_audit_triggers()
    assert missing_triggers() == []


@pytest.mark.django_db
def test_success_migration_back_to_before_the_audit_log() -> None:
    with transaction.atomic():
        if connection.vendor == "postgresql":
            execute("ALTER TABLE sw_audit_entries RENAME TO sw_elsewhere")
        else:
            execute("DROP TABLE sw_audit_entries")
        install_audit_triggers()
        transaction.set_rollback(True)
    assert triggers() == set(trigger_names(connection.vendor))


@pytest.mark.django_db
def test_fail_refusal_is_a_domain_error() -> None:
    one = entry()
    with (
        pytest.raises(error_mapping.AppendOnly) as caught,
        error_mapping.translate_errors(),
        transaction.atomic(),
    ):
        update(one)
    assert re.fullmatch(
        r"The database \S+( on .+)? refuses that: sw_audit_entries is append-only\.",
        caught.value.message,
    )
    assert caught.value.exit_code == 1
    assert caught.value.fix == (
        "No changes were made. Add another entry that corrects the wrong one."
    )
