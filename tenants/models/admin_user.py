from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth.models import AbstractUser
from django.db import models

from scaiwave.ids import new_id


class AdminUser(AbstractUser):
    """An account for the admin site of this suite; not a participant of the platform.

    With a `scaikey_id` it belongs to the person with this ID in ScaiKey, and was created by their
    sign-in. Name and e-mail address are then set by the last sign-in.

    An auditor may view every list and page, but not the messages of rooms, and can't act.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scaikey_id = models.CharField("ScaiKey ID", max_length=200, null=True, blank=True)
    is_auditor = models.BooleanField(
        "auditor", default=False, help_text="sees everything but messages, and changes nothing"
    )

    class Meta:
        db_table = "sw_admin_users"
        verbose_name = "administrator"
        constraints = [
            models.UniqueConstraint(fields=["scaikey_id"], name="sw_admin_users_scaikey_id"),
            models.CheckConstraint(
                condition=~models.Q(is_auditor=True, is_superuser=True),
                name="sw_admin_users_auditor",
            ),
        ]

    def __str__(self) -> str:
        """Return the name of a person of ScaiKey, whose user name is an ID."""
        is_person = self.scaikey_id is not None
        return (is_person and (self.first_name or self.email)) or self.username

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Let an auditor view every model. Permissions of another kind, such as to read the
        messages of rooms, name no model."""
        if not self.is_auditor:
            return super().has_perm(perm, obj)
        app_label, _, codename = perm.partition(".")
        action, _, model = codename.partition("_")
        return self.is_active and action == "view" and model in apps.all_models[app_label]
