from django.apps import AppConfig


class RoomsConfig(AppConfig):
    name = "rooms"

    def ready(self) -> None:
        from rooms.queries.tenant_columns import rooms_per_tenant, storage_per_tenant
        from scaiwave.providers import register_tenant_columns

        register_tenant_columns("rooms", rooms_per_tenant)
        register_tenant_columns("storage_bytes", storage_per_tenant)
