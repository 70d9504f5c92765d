from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models

from scaiwave.ids import new_id


class AdminUser(AbstractUser):
    """An account for the admin site of this suite; not a participant of the platform."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)

    class Meta:
        db_table = "sw_admin_users"
        verbose_name = "administrator"
