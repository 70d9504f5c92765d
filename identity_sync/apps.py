from django.apps import AppConfig


class IdentitySyncConfig(AppConfig):
    name = "identity_sync"
    verbose_name = "Identity sync"
