"""What is different about a tenant, field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any

from django.db import IntegrityError, transaction

from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.output import strip_control_chars, to_json
from scaiwave.errors import UsageError
from tenants.errors import InvalidFeature, ManagedByScaiKey
from tenants.models import Tenant
from tenants.queries.resolve import is_storable_text, resolve_partner, resolve_tenant
from tenants.queries.serializers import Row, tenant_row
from tenants.services.audit import record_audit
from tenants.services.create_tenant import slug_conflict
from tenants.services.tenant_limits import MAX_LIMITS, limit_warnings, validate_limits
from tenants.services.validators import validate_name, validate_slug

_SCAIKEY_FIELDS = ("name", "slug", "partner")


@dataclass(frozen=True)
class TenantUpdate:
    """What is to be changed; what is left out stays. A limit of None is no limit."""

    limits: Mapping[str, int | None] = field(default_factory=dict)
    features: Sequence[tuple[str, Any]] = ()
    remove_features: Sequence[str] = ()
    name: str | None = None
    slug: str | None = None
    partner: str | None = None
    no_partner: bool = False

    @property
    def is_empty(self) -> bool:
        called = (self.name, self.slug, self.partner)
        said = self.limits or self.features or self.remove_features or self.no_partner
        return not said and all(name is None for name in called)


@dataclass(frozen=True)
class UpdateTenantResult:
    """`tenant` is as it is now; in a dry run as it would be."""

    tenant: Row
    changes: list[FieldChange]
    warnings: list[str]
    dry_run: bool = False

    @property
    def lines(self) -> list[str]:
        slug = self.tenant["slug"]
        if not self.changes:
            return [f"Nothing to change: tenant {slug} is so already."]
        first = f"{'Would change' if self.dry_run else 'Changed'} tenant {slug}:"
        width = max(len(change.field) for change in self.changes)
        told = (f"  {one.field:<{width}}  {one.was} → {one.becomes}" for one in self.changes)
        return [first, *told]

    def document(self) -> Row:
        document = {
            "tenant": self.tenant,
            "changed": bool(self.changes) and not self.dry_run,
            "changes": [change.document() for change in self.changes],
            "warnings": self.warnings,
        }
        return {**document, "dry_run": True} if self.dry_run else document


def update_tenant(
    *,
    operator: Operator,
    tenant: str,
    wanted: TenantUpdate,
    now: datetime,
    dry_run: bool = False,
) -> UpdateTenantResult:
    """Change limits and features of a tenant; of one without ScaiKey also what it is called.

    A limit may be below what is used already: that is warned about, and nothing is removed.

    Raises UsageError when nothing is asked for, InvalidLimit, InvalidFeature, InvalidName,
    InvalidSlug, TenantNotFound, PartnerNotFound, AmbiguousName, ManagedByScaiKey and
    TenantConflict; for a tenant that is to have no partner InsufficientPermission, since it leaves
    the scope of a partner's administrator.
    """
    operator.require(Permission.MANAGE_TENANTS)
    _validate(operator, wanted)
    found = resolve_tenant(operator, tenant)
    give = _build_setter(operator, wanted)
    if dry_run:
        changes = _apply(operator, found, give)
    else:
        found, changes = _save(operator, found, give, now)
    limits = {change.field: change.new for change in changes if change.field in MAX_LIMITS}
    return UpdateTenantResult(
        tenant=_build_row(found),
        changes=changes,
        warnings=limit_warnings(operator, found, limits, now),
        dry_run=dry_run,
    )


def _validate(operator: Operator, wanted: TenantUpdate) -> None:
    if wanted.is_empty:
        raise UsageError(
            "Nothing is said of what to change.",
            fix="Pass a limit such as --max-participants 100, a feature, or a name.",
        )
    validate_limits(wanted.limits)
    for key in (*wanted.remove_features, *(key for key, _ in wanted.features)):
        validate_feature_key(key)
    if wanted.name is not None:
        validate_name(wanted.name)
    if wanted.slug is not None:
        validate_slug(wanted.slug)
    if wanted.no_partner:
        operator.require(Permission.MANAGE_PLATFORM)


def _build_setter(operator: Operator, wanted: TenantUpdate) -> Callable[[Tenant], None]:
    """What gives a tenant the wanted values, without saving it."""
    partner = resolve_partner(operator, wanted.partner) if wanted.partner is not None else None

    def give(tenant: Tenant) -> None:
        for name, limit in wanted.limits.items():
            setattr(tenant, name, limit)
        tenant.features = apply_feature_changes(
            tenant.features, wanted.features, wanted.remove_features
        )
        tenant.name = tenant.name if wanted.name is None else wanted.name
        tenant.slug = tenant.slug if wanted.slug is None else wanted.slug
        if partner is not None or wanted.no_partner:
            tenant.partner = partner

    return give


def _save(
    operator: Operator, found: Tenant, give: Callable[[Tenant], None], now: datetime
) -> tuple[Tenant, list[FieldChange]]:
    try:
        with transaction.atomic():
            tenant = Tenant.objects.select_for_update().get(pk=found.pk)
            changes = _apply(operator, tenant, give)
            if changes:
                tenant.updated_at = now
                tenant.save()
                _record(operator, tenant, changes, now)
    except IntegrityError:
        give(found)
        _ensure_slug_is_free(operator, found)
        raise
    return tenant, changes


def _apply(operator: Operator, tenant: Tenant, give: Callable[[Tenant], None]) -> list[FieldChange]:
    """Give the tenant its new values, and say what they change, if they may."""
    before = snapshot(tenant)
    give(tenant)
    changes = compare_snapshots(before, snapshot(tenant))
    kept = [change.field for change in changes if change.field in _SCAIKEY_FIELDS]
    if kept and tenant.scaikey_tenant_id is not None:
        raise ManagedByScaiKey(
            f"ScaiKey keeps the {' and '.join(kept)} of tenant {before['slug']} "
            f"({tenant.scaikey_tenant_id}).",
            fix="Change that in ScaiKey, and the next `scaiwave sync` brings it here; limits and "
            "features are changed here.",
        )
    if "slug" in kept:
        _ensure_slug_is_free(operator, tenant)
    return changes


def _ensure_slug_is_free(operator: Operator, tenant: Tenant) -> None:
    others = Tenant.objects.exclude(pk=tenant.pk).select_related("partner")
    if other := others.filter(slug=tenant.slug).first():
        raise slug_conflict(operator, other)


def _record(operator: Operator, tenant: Tenant, changes: list[FieldChange], now: datetime) -> None:
    record_audit(
        operator=operator,
        action="update-tenant",
        subject=tenant,
        tenant=tenant,
        now=now,
        details={"changes": [change.document() for change in changes]},
    )


def _build_row(tenant: Tenant) -> Row:
    limits = {name: getattr(tenant, name) for name in MAX_LIMITS}
    return {**tenant_row(tenant), **limits, "features": tenant.features}


Snapshot = dict[str, Any]
_FEATURE_PREFIX = "features."


@dataclass(frozen=True)
class FieldChange:
    """One field, or one key of the features: JSON values, and words for people."""

    field: str
    old: Any
    new: Any
    was: str
    becomes: str

    def document(self) -> Row:
        return {"field": self.field, "old": self.old, "new": self.new}


def snapshot(tenant: Tenant) -> Snapshot:
    """What can be changed of a tenant, with the features by their dotted keys."""
    return {
        "name": tenant.name,
        "slug": tenant.slug,
        "partner": str(tenant.partner) if tenant.partner else None,
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
            was=_format_value(before, field),
            becomes=_format_value(after, field),
        )
        for field in {**before, **after}
        if _format_value(before, field) != _format_value(after, field)
    ]


def _format_value(state: Snapshot, field: str) -> str:
    """Different for different values: to Python 1 equals true, and null what isn't there."""
    if field not in state:
        return "not set"
    value = state[field]
    if field.startswith(_FEATURE_PREFIX):
        return to_json(value, indent=None)
    if field in MAX_LIMITS:
        return "no limit" if value is None else f"{value:,}"
    return "none" if value is None else str(value)


Features = dict[str, Any]
MAX_FEATURE_KEY_CHARS = 200
_FEATURE_EXAMPLES = "--feature search.semantic=true or --feature 'theme=\"dark\"'"


def parse_feature(text: str) -> tuple[str, Any]:
    """The key and the value of `key.dotted=value`, where the value is JSON. Raises
    `InvalidFeature`.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidFeature(
            f"{text!r} gives no value.", fix=f"Write it as in {_FEATURE_EXAMPLES}."
        )
    validate_feature_key(key)
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidFeature(
            f"The value of feature {key} is no JSON: {value[:100]!r}.",
            fix=f"Write true, false, a number, or other JSON, as in {_FEATURE_EXAMPLES}.",
        ) from None
    if not _is_storable_value(parsed):
        raise InvalidFeature(
            f"The value of feature {key} can't be stored.",
            fix="Numbers have to be finite and within 64 bits, texts without the character U+0000.",
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
            f"{key!r} can't be the key of a feature.",
            fix=f"A key is words with dots between them, such as search.semantic, of up to "
            f"{MAX_FEATURE_KEY_CHARS} characters.",
        )


def apply_feature_changes(
    features: Features, given: Sequence[tuple[str, Any]], removed: Sequence[str]
) -> Features:
    """A copy without the removed keys and with the given ones. Raises `InvalidFeature`."""
    changed = deepcopy(features)
    for key in removed:
        _remove_feature(changed, key.split("."))
    for key, value in given:
        _set_feature(changed, key, value)
    return changed


def flatten_features(features: Features) -> Features:
    """{"a": {"b": 1}} → {"a.b": 1}; an empty object is a value."""
    return dict(_iter_leaves(features))


def _iter_leaves(features: Features, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in features.items():
        if isinstance(value, dict) and value:
            yield from _iter_leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def _remove_feature(features: Features, path: Sequence[str]) -> None:
    """An object that the removal leaves empty goes too."""
    first, *rest = path
    if not rest:
        features.pop(first, None)
    elif isinstance(inner := features.get(first), dict):
        count = len(inner)
        _remove_feature(inner, rest)
        if len(inner) < count and len(inner) == 0:
            del features[first]


def _set_feature(features: Features, key: str, value: Any) -> None:
    *outer, last = key.split(".")
    place = features
    for number, name in enumerate(outer, 1):
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            above = ".".join(outer[:number])
            raise InvalidFeature(
                f"Feature {key} can't be set: {above} is {json.dumps(place)}, not an object.",
                fix=f"Pass --remove-feature {above} too, if that may go.",
            )
    place[last] = value


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
