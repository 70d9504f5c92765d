"""Everything that can be configured, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SettingType = Literal["str", "url", "int", "fraction", "bool", "choice"]
"""`Configuration.get_<type>` reads a setting of that type."""


@dataclass(frozen=True)
class SettingDefinition:
    """One name an operator can set; `secret` ones are masked wherever they are shown."""

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
        "empty is an SQLite file in the home.",
        secret=True,
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_REDIS_URL",
        "Redis for background jobs; empty runs the work inline.",
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
        "Where browsers reach this server.",
        "http://localhost:8000",
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_SECRET_KEY",
        "Signs sessions; made in the home when the database is SQLite.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_ENCRYPTION_KEYS",
        "Fernet keys that encrypt private keys at rest, newest "
        "first, separated by commas; made in the home when the database is SQLite.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_URL",
        "Base URL of ScaiKey, the identity provider.",
        type="url",
    ),
    SettingDefinition("SCAIWAVE_SCAIKEY_CLIENT_ID", "Client id; written by `sync register`."),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET",
        "Client secret; written by `sync register`.",
        secret=True,
    ),
    SettingDefinition("SCAIWAVE_SCAIKEY_APP_ID", "Application id; written by `sync register`."),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_ISSUER",
        "Issuer of tokens; written by `sync register`.",
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_AUDIENCE",
        "Audience that an operator's token must have; empty is our client id.",
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET",
        "Shared secret of ScaiKey's webhooks; empty refuses them.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET_PREVIOUS",
        "Former secret of ScaiKey's webhooks, accepted too while you rotate it.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_WEBHOOK_RETENTION_DAYS",
        "Days that received webhooks are kept.",
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
        "Refuse to work without SCAIWAVE_ADMIN_TOKEN.",
        "false",
        type="bool",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_REMOVAL_LIMIT",
        "Removal limit: a sync stops if more people than this, and a larger share than the next "
        "setting, would lose access.",
        "20",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_REMOVAL_SHARE",
        "Removal limit as a share of the people who are there (0 to 1).",
        "0.10",
        type="fraction",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_LOOKUP_LIMIT",
        "Look-ups by id with which one sync confirms removals; the rest is postponed.",
        "10000",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_SYNC_LOOKUP_SECONDS",
        "Seconds that one sync spends on these look-ups.",
        "120",
        type="int",
    ),
    SettingDefinition("SCAIWAVE_SCAIGRID_URL", "Base URL of ScaiGrid, the AI gateway.", type="url"),
    SettingDefinition(
        "SCAIWAVE_SCAIGRID_API_KEY",
        "ScaiGrid API key (sgk_…); empty takes a service token from ScaiKey.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_SCAIGRID_EMBEDDING_MODEL",
        "Model that makes vectors of texts; empty is the first that ScaiGrid lists.",
    ),
    SettingDefinition(
        "SCAIWAVE_WEAVIATE_URL",
        "Base URL of Weaviate, which then finds messages; empty is the database's own search.",
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_WEAVIATE_API_KEY", "Weaviate API key, if it asks for one.", secret=True
    ),
    SettingDefinition(
        "SCAIWAVE_SCAICMS_URL", "Base URL of ScaiCMS, which shows the docs.", type="url"
    ),
    SettingDefinition(
        "SCAIWAVE_SCAICMS_API_KEY",
        "ScaiCMS API key (scai_live_…) with the scope docs:write:scaiwave.",
        secret=True,
    ),
    SettingDefinition(
        "SCAIWAVE_MEDIA_ROOT",
        "Folder of the attachments, where no S3 bucket holds them; empty is media in the home.",
    ),
    SettingDefinition(
        "SCAIWAVE_S3_ENDPOINT",
        "S3 server of the attachments; empty is Amazon's.",
        type="url",
    ),
    SettingDefinition(
        "SCAIWAVE_S3_BUCKET", "S3 bucket of the attachments; empty keeps them as files."
    ),
    SettingDefinition("SCAIWAVE_S3_ACCESS_KEY", "Access key of the bucket.", secret=True),
    SettingDefinition("SCAIWAVE_S3_SECRET_KEY", "Secret key of the bucket.", secret=True),
    SettingDefinition(
        "SCAIWAVE_IMPORT_LIMIT_MB",
        "The largest room bundle that is imported, in MiB, packed or unpacked.",
        "20480",
        type="int",
    ),
    SettingDefinition(
        "SCAIWAVE_PEER_NETWORKS",
        "Private networks in which federation peers may be, as 10.0.0.0/8, separated by commas; "
        "empty is none.",
    ),
    SettingDefinition(
        "SCAIWAVE_ALLOWED_HOSTS",
        "Host names the web server answers to, separated by commas; "
        "empty is the host of SCAIWAVE_PUBLIC_URL and the loopback names. "
        "That of SCAIWAVE_SERVER_NAME is always one.",
    ),
    SettingDefinition(
        "SCAIWAVE_LOG_FORMAT",
        "How log lines look.",
        "text",
        type="choice",
        choices=("text", "json"),
    ),
    SettingDefinition(
        "SCAIWAVE_LOG_LEVEL",
        "The least level that is logged.",
        "INFO",
        type="choice",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
    SettingDefinition(
        "SCAIWAVE_TIME_ZONE", "Zone of the times in tables; empty is the machine's own."
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}

# Found before the table can be read, so not part of it.
LOCATING_NAMES = ("SCAIWAVE_HOME", "SCAIWAVE_ENV_FILE")
