from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_sync.registration.env_file import quote_value
from scaiwave.config import SETTINGS, Configuration, load
from scaiwave.config.configuration import find_home, find_unknown_names, read_env_file
from scaiwave.core.errors import SettingInvalid, SettingMissing
from tests.scaiwave.cli_helpers import run_process, run_scaiwave

URL = "SCAIWAVE_SCAIKEY_URL"
SECRET = "SCAIWAVE_SCAIKEY_CLIENT_SECRET"


def configured(directory: Path, text: str = "", **environment: str) -> Configuration:
    (directory / ".env").write_text(text, encoding="utf-8")
    return load({"SCAIWAVE_HOME": str(directory), **environment})


def test_success_environment_overrides_file_overrides_default(tmp_path: Path) -> None:
    name = "SCAIWAVE_SERVER_NAME"
    assert configured(tmp_path).get_raw(name) == ("localhost", "default")
    assert configured(tmp_path, f"{name}=file").get_raw(name) == ("file", "file")
    config = configured(tmp_path, f"{name}=file", SCAIWAVE_SERVER_NAME="env")
    assert config.get_raw(name) == ("env", "environment")


def test_success_empty_is_not_set(tmp_path: Path) -> None:
    config = configured(tmp_path, f"{URL}=https://one.example", SCAIWAVE_SCAIKEY_URL="")
    assert config.get_raw(URL) == ("https://one.example", "file")
    assert configured(tmp_path, f"{URL}=").get_raw(URL) == ("", "default")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plain", "plain"),
        ("$HOME and ${HOME}", "$HOME and ${HOME}"),
        ("$DJANGO_SETTINGS_MODULE", "$DJANGO_SETTINGS_MODULE"),
        ("a#b", "a#b"),
        ("a # b", "a # b"),
        ("'a # b'", "a # b"),
        ('"a # b"', "a # b"),
        ("a=b=c", "a=b=c"),
        ("two words", "two words"),
        ("it's", "it's"),
        ('say "x"', 'say "x"'),
        (r'"a\"b\\c"', r'a"b\c'),
        ("'$x'", "$x"),
        ('"$x"', "$x"),
        ("päßwörd", "päßwörd"),
    ],
)
def test_success_values_of_a_file(written: str, meant: str, tmp_path: Path) -> None:
    for line in (f"{SECRET}={written}\n", f"export {SECRET}={written}\r\n"):
        assert configured(tmp_path, line).get_str(SECRET) == meant


@given(value=st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_success_what_register_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    directory = tmp_path_factory.getbasetemp()
    assert (
        configured(directory, f"{SECRET}={quote_value(SECRET, value)}\n").get_str(SECRET) == value
    )


@pytest.mark.parametrize("value", ["$HOME", "${HOME}", "a#b", "'x'", ' "x" ', "a b"])
def test_success_values_of_the_environment_are_literal(value: str, tmp_path: Path) -> None:
    config = configured(tmp_path, SCAIWAVE_SCAIKEY_CLIENT_SECRET=value)
    assert config.get_str(SECRET) == value


def test_success_comments_empty_lines_and_the_last_line_of_a_name(tmp_path: Path) -> None:
    text = f"# first\n\n  # indented\n   \n{URL}=https://one.example\n{URL}=https://two.example\n"
    assert read_env_file(_written(tmp_path, text)) == {URL: "https://two.example"}


def _written(directory: Path, text: str) -> Path:
    (directory / "file").write_text(text, encoding="utf-8")
    return directory / "file"


def test_success_no_file(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / "absent") == {}


@pytest.mark.parametrize("line", ["nonsense", "A = b", " A=b", "A-B=c", "=x", "\ufeffA=b"])
def test_fail_invalid_line(line: str, tmp_path: Path) -> None:
    path = _written(tmp_path, f"# fine\n{line}\n")
    with pytest.raises(SettingInvalid) as caught:
        read_env_file(path)
    assert caught.value.message == f"Line 2 of {path} is not NAME=value."
    assert caught.value.fix == "Write it without spaces around the equals sign, or remove it."


def test_fail_file_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid) as caught:
        read_env_file(tmp_path)
    assert caught.value.message == (
        f"The configuration file {tmp_path} can't be read: Is a directory."
    )


def test_fail_file_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(SettingInvalid, match=r"can't be read: it is not UTF-8\.\Z"):
        read_env_file(path)


def test_success_value_from_a_named_file(tmp_path: Path) -> None:
    path = _written(tmp_path, "  s3cret # not a comment \n")
    meant = ("  s3cret # not a comment ", "environment")
    name_file = {f"{SECRET}_FILE": str(path)}
    assert configured(tmp_path, **name_file).get_raw(SECRET) == meant
    assert configured(tmp_path, f"{SECRET}_FILE={path}").get_raw(SECRET) == (meant[0], "file")
    assert configured(tmp_path, f"{SECRET}=other", **name_file).get_raw(SECRET) == meant
    direct = {SECRET: "direct", **name_file}
    assert configured(tmp_path, **direct).get_raw(SECRET) == ("direct", "environment")


def test_fail_named_file_is_absent(tmp_path: Path) -> None:
    path = str(tmp_path / "absent")
    with pytest.raises(SettingInvalid) as caught:
        configured(tmp_path, SCAIWAVE_SCAIKEY_CLIENT_SECRET_FILE=path).get_str(SECRET)
    assert caught.value.message == (
        f"{SECRET}_FILE names {path}, which can't be read: No such file or directory."
    )
    assert caught.value.fix == f"Make the file readable for this user, or unset {SECRET}_FILE."


def test_fail_named_file_is_empty(tmp_path: Path) -> None:
    """Otherwise an empty token file would give its user the rights of the host operator."""
    path = _written(tmp_path, "\n")
    with pytest.raises(SettingInvalid) as caught:
        configured(tmp_path, SCAIWAVE_ADMIN_TOKEN_FILE=str(path)).get_str("SCAIWAVE_ADMIN_TOKEN")
    assert caught.value.message == f"SCAIWAVE_ADMIN_TOKEN_FILE names {path}, which is empty."


def test_fail_required(tmp_path: Path) -> None:
    with pytest.raises(SettingMissing) as caught:
        configured(tmp_path).get_required(URL)
    assert caught.value.message == f"{URL} is not set."
    assert caught.value.fix == f"Set {URL} in the environment or in {tmp_path / '.env'}."


def test_success_names_of_a_list(tmp_path: Path) -> None:
    config = configured(tmp_path, SCAIWAVE_ALLOWED_HOSTS=" a.example , b.example,")
    assert config.get_list("SCAIWAVE_ALLOWED_HOSTS") == ["a.example", "b.example"]


def test_success_masked(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        SCAIWAVE_DB_URL="postgres://scaiwave:p%40ssw0rd@db.example/scaiwave",
        SCAIWAVE_ENCRYPTION_KEYS="first-key,second-key",
        SCAIWAVE_SECRET_KEY="short",
    )
    assert config.mask_secrets("scaiwave p@ssw0rd p%40ssw0rd at db.example") == (
        "scaiwave **** **** at db.example"
    )
    assert config.mask_secrets("second-key, short") == "****, short"


def test_success_masking_a_text_of_any_size(tmp_path: Path) -> None:
    """Each word is searched once: a search that begins at each character would take hours."""
    config = configured(tmp_path, SCAIWAVE_SECRET_KEY="a-secret-of-some-length")
    for text in ("a" * 1_000_000, "a://" * 250_000, "a://" + ":" * 1_000_000):
        assert config.mask_secrets(text) == text
    assert config.mask_secrets("x=-postgres://anna:geheim@db") == "x=-postgres://anna:****@db"
    shown = config.mask_answer(f"{'a' * 290} a-secret-of-some-length{'b' * 9000}", 300)
    assert shown == f"{'a' * 290} ****bbbbb"


def test_success_masks_do_not_reveal_ordinary_words(tmp_path: Path) -> None:
    """Who sees `The database ****` knows the name of the database, and so the secret."""
    config = configured(
        tmp_path,
        SCAIWAVE_DB_URL="postgres://scaiwave:scaiwave@db.example/scaiwave",
        SCAIWAVE_REDIS_URL="redis://:chat.example.com@redis.example:6379/0",
        SCAIWAVE_SERVER_NAME="chat.example.com",
        SCAIWAVE_SECRET_KEY="password",
        SCAIWAVE_METRICS_TOKEN="correct-horse-battery",
    )
    text = "The database scaiwave of chat.example.com rejects this password: correct-horse-battery"
    assert config.mask_secrets(text) == (
        "The database scaiwave of chat.example.com rejects this password: ****"
    )
    assert config.mask_secrets("postgres://scaiwave:scaiwave@db.example/scaiwave or password") == (
        "postgres://scaiwave:****@db.example/scaiwave or password"
    )


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        (
            "chat.example.com # our server",
            "Write the comment on a line of its own: a value extends to the end of its line.",
        ),
        (
            "https://chat.example.com/",
            "Write it without https:// and path, as in chat.example.com or chat.example.com:8448; "
            "write names with non-ASCII characters in their xn-- form.",
        ),
    ],
)
def test_fail_server_name_when_settings_are_loaded(name: str, fix: str, home: Path) -> None:
    (home / ".env").write_text(f"SCAIWAVE_SERVER_NAME={name}\n")
    ended = run_scaiwave("sync", "show-config")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(f"[SW_CONFIG_INVALID]\n  Fix: {fix}\n")
    assert run_scaiwave("sync", "--help").code == 0


def test_fail_comment_behind_a_number(tmp_path: Path) -> None:
    config = configured(tmp_path, "SCAIWAVE_PURGE_LIMIT=50 # people")
    with pytest.raises(SettingInvalid) as caught:
        config.get_int("SCAIWAVE_PURGE_LIMIT")
    assert caught.value.fix == (
        "Set SCAIWAVE_PURGE_LIMIT to a whole number. Write comments on lines of their own."
    )


@pytest.mark.parametrize("words", ["sync show-config", "doctor", "manage check", "sync --typo"])
def test_fail_named_file_does_not_exist(words: str, home: Path) -> None:
    ended = run_scaiwave(*words.split(), SCAIWAVE_ENV_FILE=str(home / "typo"))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: SCAIWAVE_ENV_FILE names {home}/typo, which does not exist. [SW_CONFIG_INVALID]\n"
        "  Fix: Correct the path, unset SCAIWAVE_ENV_FILE, or create an empty file there.\n"
    )


def test_fail_named_file_of_the_web_server_does_not_exist(home: Path) -> None:
    """Gunicorn stops with this exit code, instead of starting another worker."""
    ended = run_process(
        [sys.executable, "-c", "import scaiwave.wsgi"], SCAIWAVE_ENV_FILE=str(home / "typo")
    )
    assert (ended.code, ended.err.count("\n")) == (3, 2)
    assert ended.err.startswith(f"Error: SCAIWAVE_ENV_FILE names {home}/typo")


def test_fail_named_file_is_a_directory(home: Path) -> None:
    ended = run_scaiwave("sync", "show-config", SCAIWAVE_ENV_FILE=str(home))
    assert ended.code == 2
    assert "can't be read: Is a directory. [SW_CONFIG_INVALID]" in ended.err


@pytest.mark.parametrize(
    "words", ["sync --help", "help sync", "completion fish", "manage migrate --help", "manage help"]
)
def test_success_help_without_the_named_file(words: str, home: Path) -> None:
    ended = run_scaiwave(*words.split(), SCAIWAVE_ENV_FILE=str(home / "typo"))
    assert (ended.code, ended.err) == (0, "")


def test_success_repr_hides_values(tmp_path: Path) -> None:
    assert "s3cret" not in repr(configured(tmp_path, f"{SECRET}=s3cret", OTHER="s3cret"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SCAIWAVE_SCAIKY_URL", "SCAIWAVE_SCAIKEY_URL"),
        ("SCAIWAVE_DBURL", "SCAIWAVE_DB_URL"),
        ("SCAIWAVE_ADMIN_TOKEN_FLIE", "SCAIWAVE_ADMIN_TOKEN_FILE"),
        ("SCAIWAVE_HOMEE", "SCAIWAVE_HOME"),
    ],
)
def test_success_unknown_names(name: str, meant: str, tmp_path: Path) -> None:
    assert find_unknown_names(configured(tmp_path, **{name: "x"})) == {name: meant}
    assert find_unknown_names(configured(tmp_path, f"{name}=x")) == {name: meant}


@pytest.mark.parametrize(
    "name",
    [
        "SCAIWAVE_SCAIGRID_URL",
        "SCAIWAVE_WEAVIATE_URL",
        "SCAIWAVE_S3_BUCKET",
        "SCAIWAVE_ENV_FILE",
        "SCAIWAVE_DB_URL_FILE",
        "SCAIWAVE_PROFILE",
        "SCAIWAVE_TEST_DB_URL",
        "SCAIKY_URL",
    ],
)
def test_success_names_of_others(name: str, tmp_path: Path) -> None:
    config = Configuration({name: "x"}, tmp_path, tmp_path / ".env")
    assert find_unknown_names(config) == {}


def test_success_home_directories(tmp_path: Path) -> None:
    checkout = Path(__file__).resolve().parents[3]
    assert find_home({}) == checkout
    assert find_home({"SCAIWAVE_HOME": ""}) == checkout
    assert find_home({"SCAIWAVE_HOME": "~/x"}) == Path("~/x").expanduser()
    assert load({"SCAIWAVE_HOME": str(tmp_path)}).env_file == tmp_path / ".env"
    config = load({"SCAIWAVE_HOME": str(tmp_path), "SCAIWAVE_ENV_FILE": "/etc/other"})
    assert config.env_file == Path("/etc/other")


def test_success_every_setting_is_described() -> None:
    for setting in SETTINGS:
        assert setting.name.startswith("SCAIWAVE_")
        assert setting.help.endswith(".")
        assert bool(setting.choices) == (setting.type == "choice")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "Line 1 of {path} is not NAME=value."),
        ("SCAIWAVE_PUBLIC_URL=nonsense", "SCAIWAVE_PUBLIC_URL is not a URL such as"),
        ("SCAIWAVE_REDIS_URL=nonsense", "SCAIWAVE_REDIS_URL is not the URL of a Redis server."),
        ("SCAIWAVE_DB_URL=nonsense", "SCAIWAVE_DB_URL is not a URL"),
        ("SCAIWAVE_LOG_LEVEL=nonsense", "SCAIWAVE_LOG_LEVEL is not one of DEBUG, INFO, "),
        ("SCAIWAVE_TIME_ZONE=nonsense", "Time zone not found: nonsense."),
        ("SCAIWAVE_DB_URL_FILE=/nonsense", "SCAIWAVE_DB_URL_FILE names /nonsense, which can't be"),
    ],
)
def test_fail_configuration_of_a_process(text: str, message: str, home: Path) -> None:
    (home / ".env").write_text(text)
    ended = run_scaiwave("manage", "check")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Error: " + message.format(path=home / ".env"))
    assert ended.err.count("\n") == 2
    assert "[SW_CONFIG_INVALID]\n  Fix: " in ended.err
