"""Acts of the admin site on its administrators."""

from __future__ import annotations

from scaiwave.site.acts import Act, register_act
from tenants.accounts.administrators import disable_administrator, enable_administrator
from tenants.models import AdminUser

register_act(
    Act(
        "admin disable-administrator",
        "Disable",
        AdminUser,
        lambda call: disable_administrator(
            operator=call.operator,
            username=call.row.username,
            confirm=call.confirm,
            now=call.now,
        ),
        is_offered=lambda user: user.is_active,
        is_destructive=True,
    )
)
register_act(
    Act(
        "admin enable-administrator",
        "Enable",
        AdminUser,
        lambda call: enable_administrator(
            operator=call.operator, username=call.row.username, now=call.now
        ),
        is_offered=lambda user: not user.is_active,
    )
)
