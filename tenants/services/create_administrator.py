from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from scaiwave.auth.operators import Operator, Permission
from tenants.errors import AdministratorConflict, InvalidAdministrator, WeakPassword
from tenants.models import AdminUser
from tenants.queries.resolve import is_storable_text
from tenants.queries.serializers import Row
from tenants.services.audit import record_audit


@dataclass(frozen=True)
class CreateAdministratorResult:
    """`created` is False in a dry run."""

    administrator: Row
    created: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        name = self.administrator["username"]
        return f"{'Would create' if self.dry_run else 'Created'} administrator {name}."

    def document(self) -> Row:
        document = {"administrator": self.administrator, "created": self.created}
        return {**document, "dry_run": True} if self.dry_run else document


def create_administrator(
    *,
    operator: Operator,
    username: str,
    email: str,
    password: Callable[[], str],
    now: datetime,
    dry_run: bool = False,
) -> CreateAdministratorResult:
    """Make somebody who may enter the admin site and see everything there.

    `password` is asked when everything else is in order, and not in a dry run. Raises
    InvalidAdministrator, AdministratorConflict and WeakPassword.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    user = AdminUser(
        username=AdminUser.normalize_username(username),
        email=AdminUser.objects.normalize_email(email),
        is_staff=True,
        is_superuser=True,
        date_joined=now,
    )
    _validate(user)
    _ensure_is_new(user)
    if dry_run:
        return CreateAdministratorResult(
            {**_build_row(user), "id": None}, created=False, dry_run=True
        )
    _set_password(user, password())
    return _insert(operator, user, now)


def _validate(user: AdminUser) -> None:
    """By the rules of the model, which Django applies in forms only."""
    field = AdminUser._meta.get_field("username")
    try:
        if not is_storable_text(user.username):
            raise ValidationError("It has characters that can't be stored.")
        field.clean(user.username, user)
        if user.email:
            validate_email(user.email)
    except ValidationError as error:
        raise InvalidAdministrator(
            f"There can't be an administrator {user.username!r}"
            f"{f' with the e-mail address {user.email!r}' if user.email else ''}.",
            fix=" ".join(error.messages),
        ) from None


def _ensure_is_new(user: AdminUser) -> None:
    """Raises `AdministratorConflict`, also for a name that differs in capital letters alone."""
    if other := AdminUser.objects.filter(username__iexact=user.username).first():
        raise AdministratorConflict(
            f"There is an administrator {other.username!r} already.",
            fix="Choose another name; `scaiwave manage changepassword "
            f"{other.username}` gives that one another password.",
        )


def _set_password(user: AdminUser, password: str) -> None:
    """Raises `WeakPassword`, by the validators of the settings."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WeakPassword(
            "That password won't do; nothing was changed.", fix=" ".join(error.messages)
        ) from None
    user.set_password(password)


def _insert(operator: Operator, user: AdminUser, now: datetime) -> CreateAdministratorResult:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            record_audit(
                operator=operator,
                action="create-administrator",
                subject=user,
                now=now,
                details={"email": user.email},
            )
    except IntegrityError:
        _ensure_is_new(user)
        raise
    return CreateAdministratorResult(_build_row(user), created=True)


def _build_row(user: AdminUser) -> Row:
    return {"id": user.pk, "username": user.username, "email": user.email or None}
