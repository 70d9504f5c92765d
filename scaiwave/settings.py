"""Django settings, in sections; every value an operator can change comes from `scaiwave.config`."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from urllib.parse import urlsplit

from scaiwave.config import database, load, secret_keys
from scaiwave.config.server_name import get_server_name
from scaiwave.config.web_libraries import has_web_libraries
from scaiwave.console.output import get_timezone
from scaiwave.queue.definitions import QUEUES
from scaiwave.storage import media as media_storage
from scaiwave.web import scaikey_sign_in, security_headers

CONFIG = load()
HOME = CONFIG.home
# Help is printed even if the configuration needs a correction.
IS_HELP = bool(os.environ.get("SCAIWAVE_HELP"))
if not IS_HELP:
    CONFIG.require_env_file()
    secret_keys.require_own_files(CONFIG)
    get_server_name(CONFIG)

# Applications. Commands use the profile `cli`. Workers, `manage` and `doctor` need them all, with
# the profile `full`, and the web server with `web`. Without a profile, as in tests, another program
# uses the suite.
PROFILE = os.environ.get("SCAIWAVE_PROFILE", "")

OUR_APPS = ["scaiwave", "tenants", "federation", "rooms", "identity_sync"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", *OUR_APPS]
if PROFILE != "cli":
    INSTALLED_APPS = [
        "scaiwave",  # first, since its templates replace some of the admin's
        "scaiwave.site.config.OperatorAdminConfig",
        *(app for app in INSTALLED_APPS if app != "scaiwave"),
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
    ]
# An installation for the command line lacks the libraries of the web server.
HAS_WEB = PROFILE != "cli" and has_web_libraries()
if HAS_WEB:
    INSTALLED_APPS.append("axes")
AUTH_USER_MODEL = "tenants.AdminUser"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Database
DATABASES = {"default": database.database_settings(CONFIG, is_web=PROFILE == "web")}

# Redis, for the job queue (`scaiwave.queue`).
REDIS_URL = database.get_redis_url(CONFIG)
# django-rq is not an application here: its pages pass by the permissions and the audit log.
RQ_QUEUES = {name: {"URL": REDIS_URL} for name in QUEUES}
RQ = {
    "JOB_CLASS": "scaiwave.queue.rq_queue.SuiteJob",
    "QUEUE_CLASS": "scaiwave.queue.rq_queue.SuiteQueue",
    "WORKER_CLASS": "scaiwave.operations.jobs.worker.SuiteWorker",
}

# Secrets. They and the database are not created here: `manage migrate` creates them.
SECRET_KEY = secret_keys.find_secret_key(CONFIG)
if PROFILE:
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
TRUSTED_PROXIES = () if IS_HELP else CONFIG.get_networks("SCAIWAVE_TRUSTED_PROXIES")
CSRF_TRUSTED_ORIGINS = [f"{urlsplit(PUBLIC_URL).scheme}://{urlsplit(PUBLIC_URL).netloc}"]
HAS_TLS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HAS_TLS
# With this prefix, browsers take a cookie from this host only, and not from one in the same domain.
COOKIE_PREFIX = "__Host-" if HAS_TLS else ""
# Sessions keep the name of their cookie, so that an upgrade ends none.
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrftoken"
SESSION_ENGINE = "scaiwave.web.sessions"
SESSION_COOKIE_AGE = 8 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HAS_TLS else None
SECURE_SSL_REDIRECT = HAS_TLS
# Monitors and Prometheus call gunicorn directly, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^health(/live|/ready)?$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HAS_TLS else 0
# Subdomains of the public name may be servers of others, so that is not for this one to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_CSP = security_headers.CONTENT_SECURITY_POLICY
X_FRAME_OPTIONS = "DENY"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    security_headers.MIDDLEWARE,
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
# Sign-in with ScaiKey needs a registration; without one its library would break all sign-ins.
HAS_SCAIKEY_SIGN_IN = HAS_WEB and not IS_HELP and scaikey_sign_in.is_sign_in_registered(CONFIG)
HAS_PASSWORD_SIGN_IN = IS_HELP or CONFIG.get_bool("SCAIWAVE_ADMIN_PASSWORD_SIGN_IN")
AUTHENTICATION_BACKENDS = [
    *(["axes.backends.AxesStandaloneBackend"] if HAS_WEB else []),
    *(["tenants.oidc.backend.ScaiKeyBackend"] if HAS_SCAIKEY_SIGN_IN else []),
    *(["django.contrib.auth.backends.ModelBackend"] if HAS_PASSWORD_SIGN_IN else []),
]
# Failed sign-ins are counted by account and address together: others can't lock an account out,
# and the clients of one proxy or network don't lock out each other.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "scaiwave.web.sign_in_limits.get_account_key"
AXES_CLIENT_IP_CALLABLE = "scaiwave.web.sign_in_limits.find_client_address"
AXES_LOCKOUT_CALLABLE = "scaiwave.web.sign_in_limits.respond_locked"
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # The audit log has the sign-ins.
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
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
            "()": "scaiwave.core.log_formatter.SingleLineFormatter",
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
    "filters": {"refused_requests": {"()": "scaiwave.core.log_formatter.RefusedRequestFilter"}},
    "handlers": {
        "null": {"class": "logging.NullHandler"},
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["refused_requests"],
            "formatter": CONFIG.get_choice("SCAIWAVE_LOG_FORMAT"),
        },
    },
    "root": {"handlers": ["stderr"], "level": CONFIG.get_choice("SCAIWAVE_LOG_LEVEL")},
    "loggers": {
        # httpx logs each request at INFO, which would hide other messages.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # It logs the names that clients type. The audit log has the attempts.
        "axes": {"level": "ERROR"},
        # The worker logs its jobs itself.
        "rq": {"handlers": ["null"], "propagate": False},
    },
}
