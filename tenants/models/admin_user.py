from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models

from scaiwave.ids import new_id


class AdminUser(AbstractUser):
    """An account for the admin site of this suite; not a participant of the platform.

    With a `scaikey_id` it belongs to the person with this ID in ScaiKey, and was created by their
    sign-in. Name and e-mail address are then set by the last sign-in.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scaikey_id = models.CharField("ScaiKey ID", max_length=200, null=True, blank=True)

    class Meta:
        db_table = "sw_admin_users"
        verbose_name = "administrator"
        constraints = [
            models.UniqueConstraint(fields=["scaikey_id"], name="sw_admin_users_scaikey_id")
        ]
