"""All settings, with help, default and type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SettingType = Literal["str", "url", "int", "fraction", "bool", "choice", "networks"]
"""`Configuration.get_<type>` reads a setting of that type."""


@dataclass(frozen=True)
class SettingDefinition:
    """A setting. The values of `secret` settings are masked wherever they are shown."""

    name: str
    help: str
    default: str = ""
    type: SettingType = "str"
    secret: bool = False
    choices: tuple[str, ...] = ()


SETTINGS: tuple[SettingDefinition, ...] = (
    SettingDefinition(
        "SCAIWAVE_DB_URL",
        "Database, as postgres://user:password@host:5432/name; "
        "empty: SQLite in the home directory.",
        secret=True,
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_REDIS_URL",
        "Redis for background jobs; empty: they run in the process that starts them.",
        secret=True,
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_SERVER_NAME",
        "This server's name, as in @anna:chat.example.com.",
        "localhost",
    ),
    SettingDefinition(
        "SCAIWAVE_PUBLIC_URL",
        "Base URL of this server for browsers.",
        "http://localhost:8000",
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_SECRET_KEY",
        "Key that signs sessions; with SQLite it is created in the home directory.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_ENCRYPTION_KEYS",
        "Fernet keys that encrypt private keys at rest, newest "
        "first, separated by commas; with SQLite they are created in the home directory.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_URL",
        "Base URL of ScaiKey, the identity provider.",
        type="url",
    ),
    SettingDefinition("SCAIWAVE_SCAIKEY_CLIENT_ID", "Client ID; written by `sync register`."),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET",
        "Client secret; written by `sync register`.",
        secret=True,
    ),
    SettingDefinition("SCAIWAVE_SCAIKEY_APP_ID", "Application ID; written by `sync register`."),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_ISSUER",
        "Issuer of tokens; written by `sync register`.",
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_REDIRECT_URI",
        "Redirect URI that is registered in ScaiKey for signing in; written by `sync register`.",
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_AUDIENCE",
        "Audience that an operator's token must have; empty: SCAIWAVE_SCAIKEY_CLIENT_ID.",
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET",
        "Shared secret of ScaiKey's webhooks; empty: they are rejected.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET_PREVIOUS",
        "Previous secret of ScaiKey's webhooks, also accepted while you rotate it.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_WEBHOOK_RETENTION_DAYS",
        "Days to keep received webhooks.",
        "30",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_ADMIN_TOKEN",
        "ScaiKey token of the operator, for one session.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_REQUIRE_ADMIN_TOKEN",
        "Reject commands without SCAIWAVE_ADMIN_TOKEN.",
        "false",
        type="bool",
    ),
    SettingDefinition(
        "SCAIWAVE_ADMIN_PASSWORD_SIGN_IN",
        "Let accounts with a password sign in to the admin site.",
        "true",
        type="bool",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_REMOVAL_LIMIT",
        "Removal limit: losses of access wait for a decision if there are more than this, and a "
        "larger share than the next setting, in one tenant or on the server.",
        "20",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_REMOVAL_SHARE",
        "Removal limit as a share of the active people (0 to 1).",
        "0.10",
        type="fraction",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_REMOVAL_HOURS",
        "Hours that the losses of earlier syncs and webhooks count for the removal limit.",
        "24",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_SUSPENSION_LIMIT",
        "Tenants that ScaiKey may suspend within these hours before they wait for a decision, if "
        "they are also a larger share than the next setting.",
        "3",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_SUSPENSION_SHARE",
        "Share (0 to 1) of the tenants, or of the people, that these tenants may be.",
        "0.10",
        type="fraction",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_UNREADABLE_SHARE",
        "Share (0 to 1) of groups, tenants or partners that a sync may skip when their lists can't "
        "be read.",
        "0.05",
        type="fraction",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_LOOKUP_LIMIT",
        "Maximum number of look-ups that confirm removals in a sync; other removals are postponed.",
        "10000",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_LOOKUP_SECONDS",
        "Maximum duration of these look-ups in seconds.",
        "120",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_LOCK_SECONDS",
        "Seconds that a sync waits for a lock of another session of PostgreSQL; 0: no limit.",
        "60",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_INTERVAL_MINUTES",
        "Minutes between two full syncs of your schedule; a sync is overdue after two of them.",
        "10",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_TIMEOUT_SECONDS",
        "Maximum duration of a scheduled or requested sync, waiting included; 0: three times the "
        "last complete full sync, or twice the longest one that was cut off since then, from 540 "
        "to 43200.",
        "0",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_VALUES_RETENTION_DAYS",
        "Days that the history of syncs keeps the values of fields before and after a change, "
        "and planned changes; 0: they are not stored.",
        "30",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_RUNS_RETENTION_DAYS",
        "Days that `admin prune` keeps runs of the sync and their changes; 0: no limit.",
        "400",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_FIGURES_RETENTION_DAYS",
        "Days that `admin prune` keeps the daily figures of the admin site; 0: no limit.",
        "800",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_BACKFILL_RETENTION_DAYS",
        "Days that `admin prune` keeps finished search backfills; 0: no limit.",
        "90",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_DELETION_GRACE_DAYS",
        "Days until deleted rooms and removed files are deleted for good.",
        "7",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_ERASE_AFTER_DAYS",
        "Days of suspension after which a tenant can be erased.",
        "7",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_PURGE_AFTER_DAYS",
        "Days after which the personal data of people removed from ScaiKey is erased every night; "
        "0: never.",
        "0",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_PURGE_LIMIT",
        "Maximum number of people purged at a time; if more are due, no one is.",
        "100",
        type="int",
    ),
    SettingDefinition("SCAIWAVE_SCAIGRID_URL", "Base URL of ScaiGrid, the AI gateway.", type="url"),
    SettingDefinition(
        "SCAIWAVE_SCAIGRID_API_KEY",
        "ScaiGrid API key (sgk_…); empty: a service token from ScaiKey is used.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIGRID_EMBEDDING_MODEL",
        "Embedding model; empty: the first that ScaiGrid lists.",
    ),
    SettingDefinition(
        "SCAIWAVE_WEAVIATE_URL",
        "Base URL of Weaviate, for message search; empty: search in the database.",
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_WEAVIATE_API_KEY", "Weaviate API key, if it requires one.", secret=True
    ),
    SettingDefinition(
        "SCAIWAVE_SCAICMS_URL", "Base URL of ScaiCMS, for publishing the docs.", type="url"
    ),
    SettingDefinition(
        "SCAIWAVE_SCAICMS_API_KEY",
        "ScaiCMS API key (scai_live_…) with the scope docs:write:scaiwave.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_MEDIA_ROOT",
        "Directory of attachments if there is no S3 bucket; empty: media in the home directory.",
    ),
    SettingDefinition(
        "SCAIWAVE_S3_ENDPOINT",
        "URL of the S3 server for attachments; empty: Amazon S3.",
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_S3_BUCKET", "S3 bucket for attachments; empty: they are stored as files."
    ),
    SettingDefinition("SCAIWAVE_S3_ACCESS_KEY", "Access key of the bucket.", secret=True),
    SettingDefinition("SCAIWAVE_S3_SECRET_KEY", "Secret key of the bucket.", secret=True),
    SettingDefinition(
        "SCAIWAVE_IMPORT_LIMIT_MB",
        "Maximum size of a room bundle to import in MiB, compressed or uncompressed.",
        "20480",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_TRANSFER_LIMIT",
        "Maximum number of exports and imports that one participant, or one account of the admin "
        "site, may run at a time over HTTP; 0: no limit.",
        "2",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_DOWNLOAD_MIN_KIB_PER_SECOND",
        "Least rate at which a client takes an export in KiB per second, after its first 10 "
        "seconds; 0: no limit.",
        "16",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_UPLOAD_MIN_KIB_PER_SECOND",
        "Least rate of an upload in KiB per second, after its first 10 seconds; 0: no limit.",
        "16",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_UPLOAD_MAX_SECONDS",
        "Maximum duration of an upload in seconds; 0: no limit.",
        "3600",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_PEER_NETWORKS",
        "Private networks that federation peers may be in, as 10.0.0.0/8, separated by commas; "
        "empty: none.",
    ),
    SettingDefinition(
        "SCAIWAVE_ALLOWED_HOSTS",
        "Host names the web server answers to, separated by commas; "
        "empty: the host of SCAIWAVE_PUBLIC_URL and the loopback names. "
        "The host of SCAIWAVE_SERVER_NAME is always accepted.",
    ),
    SettingDefinition(
        "SCAIWAVE_TRUSTED_PROXIES",
        "Addresses and networks of the reverse proxies and load balancers whose X-Forwarded-For "
        "is trusted, separated by commas.",
        "127.0.0.0/8,::1",
        type="networks",
    ),
    SettingDefinition(
        "SCAIWAVE_METRICS_TOKEN",
        "Bearer token for /metrics; empty: only requests from this host, without a proxy.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_NOTIFY_EMAIL",
        "E-mail addresses to which problems are reported, separated by commas; empty: none.",
    ),
    SettingDefinition(
        "SCAIWAVE_EMAIL_URL",
        "Mail server, as smtp+tls://user:password@mail.example.com:587; smtp+ssl:// for TLS from "
        "the start, smtp:// without encryption.",
        "smtp://localhost:25",
        secret=True,
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_EMAIL_FROM",
        "Sender of e-mails; empty: scaiwave@ and the host of SCAIWAVE_SERVER_NAME.",
    ),
    SettingDefinition(
        "SCAIWAVE_LOG_FORMAT",
        "Format of log lines.",
        "text",
        type="choice",
        choices=("text", "json"),
    ),
    SettingDefinition(
        "SCAIWAVE_LOG_LEVEL",
        "Lowest level that is logged.",
        "INFO",
        type="choice",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
    SettingDefinition("SCAIWAVE_TIME_ZONE", "Time zone of tables; empty: the host's."),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}

# These locate the other settings, so they are not part of the table.
LOCATING_NAMES = ("SCAIWAVE_HOME", "SCAIWAVE_ENV_FILE")
