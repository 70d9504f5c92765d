"""Read the configuration: from the process environment, else from a file, else the defaults.

`scaiwave.config.definitions` is the table of all settings. `sync show-config`, `.env.example` and
the configuration page of the docs are made from it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_interface
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import environ

from scaiwave.config.definitions import BY_NAME, LOCATING_NAMES, SETTINGS
from scaiwave.core.errors import SettingInvalid, SettingMissing

__all__ = [
    "BY_NAME",
    "LOCATING_NAMES",
    "SETTINGS",
    "Configuration",
    "find_home",
    "find_unknown_names",
    "load",
    "read_env_file",
]

Source = Literal["environment", "file", "default"]

# Names that the scripts of this project and the console script read or set.
_SCRIPT_SETTINGS = re.compile(
    r"\ASCAIWAVE_(PROFILE|HELP|PYTHON|VENV|LOCK|REQUIRE_SERVICES|(TEST|DEMO|BENCH)_.*)\Z"
)
_LINE = re.compile(r"\A(export )?[A-Za-z_0-9]+=.*\Z")
# The scheme begins where a word does, so that each word is searched once.
_USER_INFO = re.compile(r"((?<![a-z0-9+.-])[a-z0-9+.-]+://[^\s:/@]*):[^\s/]*@", re.IGNORECASE)
MIN_PREFIX_BITS = 7
"""The widest private network is fc00::/7."""
MAX_ANSWER_MARGIN = 4096
"""So many characters more of an answer are searched than are shown: a secret can be at the end."""

MIN_SECRET_CHARS = 6
"""Shorter secrets are not masked in messages: they may be parts of ordinary words."""
MAX_WORD_CHARS = 14
"""Letters alone, up to this number, may be an ordinary word, such as `password`."""
_MAX_NUMBER = 2**31 - 1
"""PostgreSQL's largest `integer`."""
_MAX_BY_UNIT = (("_DAYS", 20_000), ("_MINUTES", 1_000_000), ("_SECONDS", 2_000_000))
"""Maxima by the unit at the end of a setting's name: so many days ago is still after 1970, and
PostgreSQL's time-outs, in milliseconds, are at most `_MAX_NUMBER`."""


@dataclass(frozen=True)
class Configuration:
    """The values of all settings, and the source of each.

    Values are texts; `get_<type>` converts them. Its methods raise `SettingMissing` or
    `SettingInvalid` for a setting that is not set or has an invalid value.
    """

    environment: Mapping[str, str] = field(repr=False)  # It may contain secrets of others, too.
    home: Path
    env_file: Path

    @cached_property
    def file_values(self) -> dict[str, str]:
        return read_env_file(self.env_file)

    def get_raw(self, name: str) -> tuple[str, Source]:
        """Return the text of a setting and its source. An empty value counts as not set.

        The value can also be in the file that `<name>_FILE` names. Raises `SettingInvalid`.
        """
        for values, source in self._layers:
            if value := values.get(name):
                return value, source
            if path := values.get(f"{name}_FILE"):
                return _read_named_file(f"{name}_FILE", Path(path)), source
        return BY_NAME[name].default, "default"

    @property
    def _layers(self) -> tuple[tuple[Mapping[str, str], Source], ...]:
        return (self.environment, "environment"), (self.file_values, "file")

    def is_default(self, name: str) -> bool:
        return self.get_raw(name)[1] == "default"

    def get_str(self, name: str) -> str:
        return self.get_raw(name)[0]

    def get_required(self, name: str) -> str:
        if value := self.get_str(name):
            return value
        raise SettingMissing(
            f"{name} is not set.",
            fix=f"Set {name} in the environment or in {self.env_file}.",
        )

    def require_env_file(self) -> None:
        """Raise SettingInvalid if SCAIWAVE_ENV_FILE names a file that does not exist."""
        if not self.environment.get("SCAIWAVE_ENV_FILE"):
            return
        try:
            self.env_file.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise SettingInvalid(
                f"SCAIWAVE_ENV_FILE names {self.env_file}, which does not exist.",
                fix="Correct the path, unset SCAIWAVE_ENV_FILE, or create an empty file there.",
            ) from None
        except OSError:
            pass  # Reading it reports that.

    def get_int(self, name: str) -> int:
        """Return a number from 0 to the maximum of its unit, which is the end of its name."""
        value = int(self._cast(name, int, "a whole number"))
        if value < 0:
            raise self._invalid_error(name, "a whole number, 0 or more")
        maximum = next((top for unit, top in _MAX_BY_UNIT if name.endswith(unit)), _MAX_NUMBER)
        if value > maximum:
            raise self._invalid_error(name, f"a whole number, {maximum:,} or less")
        return value

    def get_fraction(self, name: str) -> float:
        value = float(self._cast(name, float, "a number between 0 and 1"))
        if not 0 <= value <= 1:
            raise self._invalid_error(name, "a number between 0 and 1")
        return value

    def get_bool(self, name: str) -> bool:
        value = self.get_str(name).lower()
        if value in {"true", "yes", "on", "1"}:
            return True
        if value in {"false", "no", "off", "0", ""}:
            return False
        raise self._invalid_error(name, "true or false")

    def get_choice(self, name: str) -> str:
        allowed = BY_NAME[name].choices
        for choice in allowed:
            if self.get_str(name).lower() == choice.lower():
                return choice
        raise self._invalid_error(name, "one of " + ", ".join(allowed))

    def get_url(self, name: str) -> str:
        """Return an http(s) URL without its trailing slash, or an empty text."""
        value = self.get_str(name).rstrip("/")
        if value and not _is_web_url(value):
            wanted = "a URL such as https://name.example.com, without a password"
            raise self._invalid_error(name, wanted)
        return value

    def get_list(self, name: str) -> list[str]:
        return [part.strip() for part in self.get_str(name).split(",") if part.strip()]

    def get_networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """Return the networks of proxies; an address is a network of its own."""
        networks = []
        for text in self.get_list(name):
            if problem := _find_network_problem(text):
                raise SettingInvalid(
                    f"{name} contains {text!r}: {problem}.",
                    fix=f"Set {name} to addresses and networks such as 10.0.0.5,fd00::/64.",
                )
            networks.append(ip_interface(text).network)
        return tuple(networks)

    def mask_secrets(self, text: str) -> str:
        """Mask every secret of this configuration in a text that comes from outside.

        A secret that is an ordinary word, or the value of another setting, is masked only in the
        address of a server: elsewhere, the mask would reveal which word it is.
        """
        text = _USER_INFO.sub(r"\1:****@", text)
        secrets, public = set(), set()
        for setting in SETTINGS:
            value = self.get_str(setting.name)
            if not setting.secret:
                public.add(value)
            elif value:
                secrets |= {value, *find_secret_parts(setting.name, value)}
                public |= set(_find_public_parts(value) if setting.type == "url" else ())
        for secret in sorted(secrets - public, key=len, reverse=True):
            if not _is_ordinary_word(secret):
                text = text.replace(secret, "****")
        return text

    def mask_answer(self, text: str, max_chars: int) -> str:
        """Mask a text of another server, and shorten it, before and after: it may have any size."""
        return self.mask_secrets(text[: max_chars + MAX_ANSWER_MARGIN])[:max_chars]

    def _cast(self, name: str, cast: type, wanted: str) -> Any:
        try:
            return environ.Env.parse_value(self.get_str(name), cast)
        except ValueError:
            raise self._invalid_error(name, wanted) from None

    def _invalid_error(self, name: str, wanted: str) -> SettingInvalid:
        # The message omits the value: it may be a secret in the wrong setting.
        fix = f"Set {name} to {wanted}."
        if has_comment(self.get_str(name)):
            fix += " Write comments on lines of their own."
        return SettingInvalid(f"{name} is not {wanted}.", fix=fix)


def has_comment(value: str) -> bool:
    """Whether a value seems to end with a comment, which env files have on lines of their own."""
    return re.search(r"\s#", value) is not None


def _is_web_url(value: str) -> bool:
    if re.search(r"[\s\x00-\x1f@]", value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port, an incomplete IPv6 address
        return False


def find_secret_parts(name: str, value: str) -> list[str]:
    """Return the secrets in the value of a secret setting: the passwords of a URL, or each key."""
    if BY_NAME[name].type == "url":
        match = re.match(r"\A[a-z0-9+.-]+://[^:/]*:(.*)@", value)
        return [match[1], unquote(match[1])] if match else []
    return [part.strip() for part in value.split(",") if part.strip()]


def _find_public_parts(value: str) -> list[str]:
    """Return the parts of a URL that messages contain: user, host and path."""
    try:
        parts = urlsplit(value)
        return [part for part in (parts.username, parts.hostname, parts.path.strip("/")) if part]
    except ValueError:
        return []


def _is_ordinary_word(secret: str) -> bool:
    if len(secret) < MIN_SECRET_CHARS:
        return True
    is_word = secret.isalpha() and (secret.islower() or secret.isupper() or secret.istitle())
    return is_word and len(secret) <= MAX_WORD_CHARS


def _read_named_file(name: str, path: Path) -> str:
    """Return the value in a file.

    Raises `SettingInvalid` for an empty file too: with the setting unset, this server could be less
    secure than intended.
    """
    try:
        value = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingInvalid(
            f"{name} names {path}, which can't be read: {_format_reason(error)}.",
            fix=f"Make the file readable for this user, or unset {name}.",
        ) from None
    if not value:
        raise SettingInvalid(
            f"{name} names {path}, which is empty.",
            fix=f"Write the value into the file, or unset {name}.",
        )
    return value


def _format_reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "error") if isinstance(error, OSError) else "it is not UTF-8"


def read_env_file(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file; none if the file does not exist.

    The value is everything after the equals sign, without a pair of quotes around it. The last
    line of a name counts, as in a shell. Nothing is expanded. Raises `SettingInvalid`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingInvalid(
            f"The configuration file {path} can't be read: {_format_reason(error)}.",
            fix="Make it a text file that this user may read.",
        ) from None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#") and not _LINE.match(line):
            raise SettingInvalid(
                f"Line {number} of {path} is not NAME=value.",
                fix="Write it without spaces around the equals sign, or remove it.",
            )

    # With a dictionary of its own, the values don't get into `os.environ` and child processes.
    class Reader(environ.Env):  # type: ignore[misc]  # django-environ ships no types
        ENVIRON: dict[str, str] = {}

    Reader.read_env(io.StringIO("\n".join(line for line in lines if _LINE.match(line))))
    return Reader.ENVIRON


def find_unknown_names(config: Configuration) -> dict[str, str]:
    """Return names that look like misspelt settings: {name: nearest setting}.

    The platform's server reads the same file, so an unknown name that resembles no setting of this
    suite is most likely one of the platform, and is left out.
    """
    from difflib import get_close_matches

    known = {*BY_NAME, *LOCATING_NAMES}
    known |= {f"{name}_FILE" for name in BY_NAME}
    unknown = sorted({*config.environment, *config.file_values} - known)
    suggestions: dict[str, str] = {}
    for name in unknown:
        if name.startswith("SCAIWAVE_") and not _SCRIPT_SETTINGS.match(name):
            tails = [other.removeprefix("SCAIWAVE_") for other in known]
            # 0.85 allows about two wrong letters in fifteen.
            near = get_close_matches(name.removeprefix("SCAIWAVE_"), tails, n=1, cutoff=0.85)
            if near:
                suggestions[name] = f"SCAIWAVE_{near[0]}"
    return suggestions


def find_home(environment: Mapping[str, str]) -> Path:
    """Return SCAIWAVE_HOME, else the checkout that contains this package, else ~/.scaiwave."""
    if home := environment.get("SCAIWAVE_HOME"):
        return Path(home).expanduser().absolute()
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "manage.py").is_file() and (checkout / "pyproject.toml").is_file():
        return checkout
    return Path("~/.scaiwave").expanduser()


def load(environment: Mapping[str, str] | None = None) -> Configuration:
    """Find the home directory and the settings file, and read both sources once."""
    environment = dict(os.environ if environment is None else environment)
    home = find_home(environment)
    env_file = Path(environment.get("SCAIWAVE_ENV_FILE") or home / ".env").expanduser()
    return Configuration(environment, home, env_file.absolute())


def _find_network_problem(text: str) -> str:
    """Return why it can't be a network of proxies; "" if it can."""
    try:
        interface = ip_interface(text)
    except ValueError:
        return "it is not an address or a network"
    network = interface.network
    first = network.network_address
    if isinstance(first, IPv6Address) and (first.ipv4_mapped or first.scope_id):
        return "it matches no client: use the IPv4 form of an IPv4 address, and no zone"
    if interface.ip != first:
        return f"the network of that address is {network}"
    return "it is wider than any private network" if network.prefixlen < MIN_PREFIX_BITS else ""
