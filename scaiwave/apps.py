from django.apps import AppConfig


class ScaiwaveConfig(AppConfig):
    name = "scaiwave"
    verbose_name = "ScaiWave kernel"

    def ready(self) -> None:
        from django.conf import settings

        if settings.PROFILE != "cli":  # commands run no checks, and cryptography is slow to import
            from scaiwave import checks  # noqa: F401
