"""Change limits, features, name, slug and partner of a tenant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from shlex import quote
from typing import Any

from django.db import IntegrityError, transaction

from scaiwave.console.output import strip_control_chars, to_json
from scaiwave.core.change import Change
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from tenants.audit.field_changes import FieldChange, build_update, record_changes
from tenants.errors import InvalidFeature, ManagedByScaiKey
from tenants.lookup.resolve import is_storable_text, resolve_partner, resolve_tenant
from tenants.lookup.serializers import tenant_row
from tenants.lookup.validators import validate_name, validate_slug
from tenants.models import Partner, Tenant
from tenants.people.create_tenant import build_slug_conflict
from tenants.people.partner_capacity import ensure_partner_has_room, lock_partner
from tenants.people.tenant_limits import MAX_LIMITS, limit_warnings, validate_limits

_SCAIKEY_FIELDS = ("name", "slug", "partner")


@dataclass(frozen=True)
class TenantUpdate:
    """The requested changes. Omitted values stay; a limit of None means unlimited."""

    limits: Mapping[str, int | None] = field(default_factory=dict)
    features: Sequence[tuple[str, Any]] = ()
    remove_features: Sequence[str] = ()
    name: str | None = None
    slug: str | None = None
    partner: str | None = None
    no_partner: bool = False
    sync_removals: bool | None = None

    @property
    def is_empty(self) -> bool:
        values = (self.name, self.slug, self.partner, self.sync_removals)
        others = (self.limits, self.features, self.remove_features, self.no_partner)
        return not any(others) and all(value is None for value in values)


def update_tenant(
    *,
    operator: Operator,
    tenant: str,
    update: TenantUpdate,
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Change limits and features of a tenant, and name, slug and partner of a local one.

    A limit may be below current usage. This adds a warning; nothing is deleted.

    Raises UsageError if no changes were requested, InvalidLimit, InvalidFeature, InvalidName,
    InvalidSlug, TenantNotFound, PartnerNotFound, AmbiguousName, ManagedByScaiKey,
    TenantConflict and PartnerFull. Removing the partner moves a tenant out of the scope of the
    partner's administrators, who get InsufficientPermission.
    """
    operator.require(Permission.MANAGE_TENANTS)
    _validate(operator, update)
    resolved = resolve_tenant(operator, tenant)
    partner = resolve_partner(operator, update.partner) if update.partner is not None else None
    set_values = _build_setter(update, partner)
    if dry_run:
        changes = _apply(operator, resolved, set_values)
    else:
        resolved, changes = _save(operator, resolved, set_values, partner, now)
    limits = {change.field: change.new for change in changes if change.field in MAX_LIMITS}
    warnings = limit_warnings(operator, resolved, limits, now)
    row = {
        **tenant_row(resolved),
        **{name: getattr(resolved, name) for name in MAX_LIMITS},
        "features": resolved.features,
        "sync_removals": resolved.sync_removals,
    }
    rest = {"warnings": warnings}
    return build_update("tenant", row, changes, dry_run=dry_run, cautions=warnings, rest=rest)


def _validate(operator: Operator, update: TenantUpdate) -> None:
    if update.is_empty:
        raise UsageError(
            "No changes were requested.",
            fix="Pass a limit such as --max-participants 100, a feature, or a name.",
        )
    validate_limits(update.limits)
    for key in (*update.remove_features, *(key for key, _ in update.features)):
        validate_feature_key(key)
    if update.name is not None:
        validate_name(update.name)
    if update.slug is not None:
        validate_slug(update.slug)
    if update.no_partner:
        operator.require(Permission.MANAGE_PLATFORM)


def _build_setter(update: TenantUpdate, partner: Partner | None) -> Callable[[Tenant], None]:
    """Return a function that sets the new values on a tenant without saving it."""

    def set_values(tenant: Tenant) -> None:
        for name, limit in update.limits.items():
            setattr(tenant, name, limit)
        tenant.features = apply_feature_changes(
            tenant.features, update.features, update.remove_features
        )
        tenant.name = tenant.name if update.name is None else update.name
        tenant.slug = tenant.slug if update.slug is None else update.slug
        if partner is not None or update.no_partner:
            tenant.partner = partner
        if update.sync_removals is not None:
            tenant.sync_removals = update.sync_removals

    return set_values


def _save(
    operator: Operator,
    current: Tenant,
    set_values: Callable[[Tenant], None],
    partner: Partner | None,
    now: datetime,
) -> tuple[Tenant, list[FieldChange]]:
    try:
        with transaction.atomic():
            lock_partner(partner)
            tenant = Tenant.objects.select_for_update().get(pk=current.pk)
            changes = _apply(operator, tenant, set_values)
            if changes:
                tenant.updated_at = now
                tenant.save()
                record_changes(operator, "update-tenant", tenant, now, changes)
    except IntegrityError:
        set_values(current)
        _ensure_slug_is_free(operator, current)
        raise
    return tenant, changes


def _apply(
    operator: Operator, tenant: Tenant, set_values: Callable[[Tenant], None]
) -> list[FieldChange]:
    """Set the new values on the tenant and return the changes.

    Raises ManagedByScaiKey, PartnerFull and TenantConflict.
    """
    before = snapshot(tenant)
    set_values(tenant)
    changes = compare_snapshots(before, snapshot(tenant))
    identity_fields = [change.field for change in changes if change.field in _SCAIKEY_FIELDS]
    if identity_fields and tenant.scaikey_tenant_id is not None:
        raise ManagedByScaiKey(
            f"ScaiKey manages the {' and '.join(identity_fields)} of tenant {before['slug']} "
            f"({tenant.scaikey_tenant_id}).",
            fix="Change it in ScaiKey, then run `scaiwave sync`.",
        )
    if "partner" in identity_fields:
        ensure_partner_has_room(tenant.partner)
    if "slug" in identity_fields:
        _ensure_slug_is_free(operator, tenant)
    return changes


def _ensure_slug_is_free(operator: Operator, tenant: Tenant) -> None:
    others = Tenant.objects.exclude(pk=tenant.pk).select_related("partner")
    if other := others.filter(slug=tenant.slug).first():
        raise build_slug_conflict(operator, other)


Snapshot = dict[str, Any]
_FEATURE_PREFIX = "features."


def snapshot(tenant: Tenant) -> Snapshot:
    """Return the fields that can be changed, with features by their dotted keys."""
    return {
        "name": tenant.name,
        "slug": tenant.slug,
        "partner": str(tenant.partner) if tenant.partner else None,
        "sync_removals": tenant.sync_removals,
        **{limit: getattr(tenant, limit) for limit in MAX_LIMITS},
        **{
            _FEATURE_PREFIX + key: value for key, value in flatten_features(tenant.features).items()
        },
    }


def compare_snapshots(before: Snapshot, after: Snapshot) -> list[FieldChange]:
    return [
        FieldChange(
            field,
            before.get(field),
            after.get(field),
            old_text=_format_value(before, field),
            new_text=_format_value(after, field),
        )
        for field in {**before, **after}
        if _format_value(before, field) != _format_value(after, field)
    ]


def _format_value(state: Snapshot, field: str) -> str:
    """Return different texts for different values; in Python 1 == True, and None is also absent."""
    if field not in state:
        return "not set"
    value = state[field]
    if field.startswith(_FEATURE_PREFIX):
        return to_json(value, indent=None)
    if field == "sync_removals":
        return "on" if value else "off"
    if field in MAX_LIMITS:
        return "no limit" if value is None else f"{value:,}"
    return "none" if value is None else str(value)


Features = dict[str, Any]
MAX_FEATURE_KEY_CHARS = 200
_FEATURE_EXAMPLES = "--feature search.semantic=true or --feature 'theme=\"dark\"'"


def parse_feature(text: str) -> tuple[str, Any]:
    """Parse `dotted.key=value`, with the value in JSON. Raises `InvalidFeature`."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidFeature(
            f"Feature without a value: {text!r}.",
            fix=f"Pass a key and a value, as in {_FEATURE_EXAMPLES}.",
        )
    validate_feature_key(key)
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidFeature(
            f"Feature {key}: the value is not valid JSON: {value[:100]!r}.",
            fix=f"Pass true, false, a number or other JSON, as in {_FEATURE_EXAMPLES}.",
        ) from None
    if not _is_storable_value(parsed):
        raise InvalidFeature(
            f"Feature {key}: the value can't be stored.",
            fix="Use finite numbers within 64 bits, and texts without the character U+0000.",
        )
    return key, parsed


def validate_feature_key(key: str) -> None:
    """Raises `InvalidFeature`."""
    if (
        not all(key.split("."))
        or len(key) > MAX_FEATURE_KEY_CHARS
        or strip_control_chars(key) != key
    ):
        raise InvalidFeature(
            f"Invalid feature key: {key!r}.",
            fix="Pass words separated by dots, such as search.semantic, of up to "
            f"{MAX_FEATURE_KEY_CHARS} characters.",
        )


def apply_feature_changes(
    features: Features, given: Sequence[tuple[str, Any]], removed: Sequence[str]
) -> Features:
    """Return a copy without the removed keys and with the given ones. Raises `InvalidFeature`."""
    changed = deepcopy(features)
    for key in removed:
        _remove_feature(changed, key.split("."))
    for key, value in given:
        *outer, last = key.split(".")
        target = changed
        for number, name in enumerate(outer, 1):
            target = target.setdefault(name, {})
            if not isinstance(target, dict):
                parent = ".".join(outer[:number])
                raise InvalidFeature(
                    f"Feature {key} can't be set: {parent} is {json.dumps(target)}, not an object.",
                    fix=f"Add --remove-feature {quote(parent)} to replace that value.",
                )
        target[last] = value
    return changed


def flatten_features(features: Features) -> Features:
    """Convert {"a": {"b": 1}} to {"a.b": 1}. An empty object counts as a value."""
    return dict(_iter_leaves(features))


def _iter_leaves(features: Features, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in features.items():
        if isinstance(value, dict) and value:
            yield from _iter_leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _remove_feature(features: Features, path: Sequence[str]) -> None:
    """Remove the value, and every object that becomes empty by this."""
    first, *rest = path
    if not rest:
        features.pop(first, None)
    elif isinstance(inner := features.get(first), dict):
        count = len(inner)
        _remove_feature(inner, rest)
        if len(inner) < count and len(inner) == 0:
            del features[first]


def _is_storable_value(value: Any) -> bool:
    match value:
        case str():
            return is_storable_text(value)
        case float():
            return isfinite(value)
        case int():
            return -(2**63) <= value < 2**63
        case list():
            return all(map(_is_storable_value, value))
        case dict():
            return all(_is_storable_value(part) for pair in value.items() for part in pair)
    return True
