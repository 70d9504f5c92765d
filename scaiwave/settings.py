"""Django settings, in sections; every value an operator can change comes from `scaiwave.config`."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from scaiwave import media_storage
from scaiwave.config import database, load, secret_keys
from scaiwave.console.output import get_timezone

CONFIG = load()
HOME = CONFIG.home

# Applications. Commands use the profile `cli`; the web server, workers and `manage` need them all,
# and so does `doctor`, which like other commands does not create the database.
PROFILE = os.environ.get("SCAIWAVE_PROFILE", "full")

OUR_APPS = ["scaiwave", "tenants", "federation", "rooms", "identity_sync"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", *OUR_APPS]
if PROFILE != "cli":
    INSTALLED_APPS = [
        "django.contrib.admin",
        *INSTALLED_APPS,
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
    ]
AUTH_USER_MODEL = "tenants.AdminUser"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Database
DATABASES = {"default": database.database_settings(CONFIG)}

# Redis and RQ, only if Redis is configured: django_rq needs it even for work done inline, and is
# slow to import.
REDIS_URL = database.get_redis_url(CONFIG)
if REDIS_URL and PROFILE != "cli":
    INSTALLED_APPS.append("django_rq")
RQ_QUEUES = {"default": {"URL": REDIS_URL, "DEFAULT_TIMEOUT": 3600}} if REDIS_URL else {}

# Secrets. Commands create neither them nor the database: `manage migrate` does.
if PROFILE == "full":
    SECRET_KEY = secret_keys.get_secret_key(CONFIG)
    database.create_private_file(DATABASES["default"])
else:
    SECRET_KEY = secret_keys.find_secret_key(CONFIG)
    database.require_existing_file(DATABASES["default"])

# Web
PUBLIC_URL = CONFIG.get_url("SCAIWAVE_PUBLIC_URL")
ROOT_URLCONF = "scaiwave.urls"
WSGI_APPLICATION = "scaiwave.wsgi.application"
ALLOWED_HOSTS = CONFIG.get_list("SCAIWAVE_ALLOWED_HOSTS") or [
    urlsplit(PUBLIC_URL).hostname or "localhost",
    "localhost",
    "127.0.0.1",
    "[::1]",
]
# Other servers request the descriptor by this name, which may have a port.
ALLOWED_HOSTS.append(re.sub(r":\d+$", "", CONFIG.get_str("SCAIWAVE_SERVER_NAME")))
CSRF_TRUSTED_ORIGINS = [f"{urlsplit(PUBLIC_URL).scheme}://{urlsplit(PUBLIC_URL).netloc}"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
LOGIN_URL = "admin:login"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Files
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # served from where they are installed: nothing to collect
STORAGES = {
    "default": media_storage.storage_settings(CONFIG),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# Language and time: stored in UTC, shown in the zone of the host.
LANGUAGE_CODE = "en-gb"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
LOCAL_ZONE = get_timezone(CONFIG.get_str("SCAIWAVE_TIME_ZONE"))

# Logging goes to stderr: stdout is for results.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "()": "scaiwave.log_formatter.SingleLineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        },
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {
                "asctime": "time",
                "levelname": "level",
                "name": "logger",
            },
        },
    },
    "filters": {"refused_requests": {"()": "scaiwave.log_formatter.RefusedRequestFilter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["refused_requests"],
            "formatter": CONFIG.get_choice("SCAIWAVE_LOG_FORMAT"),
        }
    },
    "root": {"handlers": ["stderr"], "level": CONFIG.get_choice("SCAIWAVE_LOG_LEVEL")},
    "loggers": {
        # httpx logs each request at INFO, which would hide other messages.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
    },
}
