"""Create accounts for the admin site."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from shlex import quote

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.accounts.queries import build_administrator_row
from tenants.audit.record import record_audit
from tenants.errors import AdministratorConflict, InvalidAdministrator, WeakPassword
from tenants.lookup.resolve import is_storable_text
from tenants.models import AdminUser

CREATION = ChangeWords(
    "administrator",
    "Would create administrator {username}.",
    "Administrator {username} created.",
)


def create_administrator(
    *,
    operator: Operator,
    username: str,
    email: str,
    password: Callable[[], str],
    now: datetime,
    is_auditor: bool = False,
    dry_run: bool = False,
) -> Change:
    """Create an account that can view everything in the admin site, and unless `is_auditor` act.

    `password` is only called once all other values are valid, and not in a dry run. Raises
    InvalidAdministrator, AdministratorConflict and WeakPassword.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    user = AdminUser(
        username=AdminUser.normalize_username(username),
        email=AdminUser.objects.normalize_email(email),
        is_staff=True,
        is_superuser=not is_auditor,
        is_auditor=is_auditor,
        date_joined=now,
    )
    _validate(user)
    _ensure_is_new(user)
    if dry_run:
        return Change(CREATION, {**build_administrator_row(user), "id": None}, dry_run=True)
    set_password(user, password())
    row = build_administrator_row(user)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            details = {"email": user.email, "role": row["role"]}
            record_audit(operator, "create-administrator", user, now, details)
    except IntegrityError:
        _ensure_is_new(user)
        raise
    return Change(CREATION, row, changed=True)


def _validate(user: AdminUser) -> None:
    """Apply the rules of the model, which Django applies in forms only."""
    field = AdminUser._meta.get_field("username")
    try:
        if not is_storable_text(user.username):
            raise ValidationError("The name contains characters that can't be stored.")
        field.clean(user.username, user)
        if user.email:
            validate_email(user.email)
    except ValidationError as error:
        raise InvalidAdministrator(
            f"Invalid user name or e-mail address: {user.username!r}"
            f"{f', {user.email!r}' if user.email else ''}.",
            fix=" ".join(error.messages),
        ) from None


def _ensure_is_new(user: AdminUser) -> None:
    """Raises `AdministratorConflict`, even if the names differ only in upper and lower case."""
    if existing := AdminUser.objects.filter(username__iexact=user.username).first():
        raise AdministratorConflict(
            f"An administrator named {existing.username!r} already exists.",
            fix="Choose another name, or set a new password for the existing account with "
            "`scaiwave admin reset-administrator-password "
            f"{quote(existing.username)}`.",
        )


def set_password(user: AdminUser, password: str) -> None:
    """Set the password without saving. Raises `WeakPassword`."""
    require_strong_password(user, password)
    user.set_password(password)


def require_strong_password(user: AdminUser, password: str) -> None:
    """Raises `WeakPassword`, with the rules that the password breaks."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WeakPassword(
            "Password rejected. No changes were made.", fix=" ".join(error.messages)
        ) from None
