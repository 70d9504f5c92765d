from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from scaiwave.providers import register_tenant_slug
        from tenants.queries.tenants import slug_at_scaikey

        register_tenant_slug(slug_at_scaikey)
