from __future__ import annotations

import json
import re
from io import StringIO

import pytest
from django.core.management import (
    CommandError,
    call_command,
    get_commands,
    load_command_class,
)

from scaiwave.cli import main
from scaiwave.cli.verbs import VERBS
from scaiwave.core.errors import UsageError
from tests.scaiwave.cli_helpers import CHECKOUT, run_at_terminal, run_example, run_scaiwave
from tests.scaiwave.example_app.management.commands import create_tenant, list_tenants

LIST = ("admin", "list-tenants")
USAGE = "Use `scaiwave admin list-tenants [options]`; `--help` lists the options."


def test_success_help_keeps_its_lines() -> None:
    ended = run_example(*LIST, "--json", "--help", COLUMNS="60")
    assert ended.code == 0
    assert ended.out.startswith("usage: scaiwave admin list-tenants ")
    assert "\n\nA command that changes nothing.\n\n" in ended.out
    assert "Exit codes" not in ended.out
    assert "\nExamples:\n  scaiwave admin list-tenants\n  scaiwave admin list" in ended.out


def test_success_help_lists_the_commands_own_options_first() -> None:
    shown = run_example("admin", "create-tenant", "--json", "--help").out
    assert shown.index("--slug") < shown.index("--dry-run") < shown.index("--json")
    for hidden in ("--settings", "--pythonpath", "--traceback", "--no-color", "--version"):
        assert hidden not in shown


def test_success_help_words() -> None:
    """Help alone is a generated page; with another option it is made by the command."""
    own = run_scaiwave("sync", "register", "--json", "--help", COLUMNS="80")
    for words in (["help", "register"], ["register", "-h"], ["sync", "register", "--help"]):
        assert run_scaiwave(*words) == own


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dry-run"], "Unknown option: --dry-run."),
        (["--settings", "x"], "Unknown option: --settings."),
        (["extra"], "Unexpected argument: extra."),
        (["--", "extra"], "Unexpected argument: extra."),
        (["--act"], "Argument --act: expected one argument."),
        (["-v", "x"], "Argument -v/--verbosity: invalid int value: 'x'."),
    ],
)
def test_fail_usage(words: list[str], message: str) -> None:
    ended = run_example(*LIST, *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"Error: {message} [SW_USAGE]\n  Fix: {USAGE}\n"


@pytest.mark.parametrize(
    ("words", "option", "nearest"),
    [
        (["--jso"], "--jso", "--json"),
        (["--quite=yes"], "--quite", "--quiet"),
        (["--act", "rows", "--hlep"], "--hlep", "--help"),
    ],
)
def test_fail_unknown_option_names_the_nearest(words: list[str], option: str, nearest: str) -> None:
    ended = run_example(*LIST, *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: Unknown option: {option}. [SW_USAGE]\n  Fix: Did you mean `{nearest}`? {USAGE}\n"
    )


@pytest.mark.parametrize(
    ("words", "message", "fix"),
    [
        (
            "role grant",
            "The following arguments are required: role.",
            "Use `scaiwave role grant <role> (--to PARTICIPANT | --to-group GROUP "
            "| --from-file FILE) [options]`; `--help` lists the options.",
        ),
        (
            "room list --tenent acme",
            "Unknown option: --tenent.",
            "Did you mean `--tenant`? Use `scaiwave room list [options]`; `--help` lists the "
            "options.",
        ),
        (
            "room list --sort -media",
            "Argument --sort: expected one argument.",
            "Did you mean `--sort=-media`? Use `scaiwave room list [options]`; `--help` lists the "
            "options.",
        ),
        (
            "room list --tenant --quiet",
            "Argument --tenant: expected one argument.",
            "Use `scaiwave room list [options]`; `--help` lists the options.",
        ),
        (
            "completion bsh",
            "Argument shell: invalid choice: 'bsh' (choose from bash, zsh, fish, tenants, roles).",
            "Did you mean `bash`? Use `scaiwave completion <bash|zsh|fish|tenants|roles> "
            "[options]`; `--help` lists the options.",
        ),
        (
            "completion",
            "The following arguments are required: shell.",
            "Use `scaiwave completion <bash|zsh|fish|tenants|roles> [options]`; `--help` lists the "
            "options.",
        ),
    ],
)
def test_fail_missing_arguments_show_the_usage(
    words: str, message: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"Error: {message} [SW_USAGE]\n  Fix: {fix}\n"


def test_fail_usage_as_json() -> None:
    ended = run_example(*LIST, "extra", "--json")
    assert (ended.code, ended.out) == (2, "")
    assert json.loads(ended.err) == {
        "error": {"code": "SW_USAGE", "message": "Unexpected argument: extra.", "fix": USAGE}
    }


def test_success_json_is_one_document() -> None:
    ended = run_example(*LIST, "--json", "-v3")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == {"tenants": list(list_tenants.ROWS)}


def test_fail_error_of_the_domain() -> None:
    ended = run_example(*LIST, "--act", "missing")
    assert (ended.code, ended.out) == (1, "begun\n")
    assert ended.err == (
        "Error: There is no tenant \N{REPLACEMENT CHARACTER}[31mred. [SW_PROBE_NOT_FOUND]\n"
        "  Fix: Look elsewhere.\n"
    )


def test_fail_error_as_json_is_one_line() -> None:
    ended = run_example(*LIST, "--act", "missing", "--json")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert json.loads(ended.err)["error"]["code"] == "SW_PROBE_NOT_FOUND"


@pytest.mark.parametrize(
    ("options", "levels_printed"),
    [
        (["-v0"], ["error"]),
        (["--quiet"], ["error"]),
        ([], ["warning", "error"]),
        (["-v1"], ["warning", "error"]),
        (["-v2"], ["info", "warning", "error"]),
        (["-v3"], ["debug", "info", "warning", "error"]),
        (["--json", "-v3"], []),
    ],
)
def test_success_log_levels(options: list[str], levels_printed: list[str]) -> None:
    ended = run_example(*LIST, "--act", "levels", *options)
    levels = [line.rpartition(" ")[2] for line in ended.err.splitlines() if "a line at" in line]
    assert levels == levels_printed
    assert ("Warning: a warning" in ended.err) == ("--json" not in options)


def test_success_a_configured_log_level_applies() -> None:
    ended = run_example(
        *LIST, "--act", "levels", SCAIWAVE_LOG_LEVEL="DEBUG", SCAIWAVE_LOG_FORMAT="json"
    )
    assert json.loads(ended.err.splitlines()[0])["message"] == "a line at debug"


@pytest.mark.parametrize("option", ["--quiet", "-q", "-v0", "--json"])
def test_success_quiet_prints_only_the_result(option: str) -> None:
    ended = run_example(*LIST, option)
    assert ended.out
    assert ended.err == ""


def test_success_dry_run_of_a_command_that_changes_something(migrated: object) -> None:
    assert run_example("admin", "create-tenant", "--dry-run").out == "0 tenants\n"


@pytest.mark.parametrize(
    ("act", "message", "fix"),
    [
        ("ask", "Which one is required.", "Pass --which."),
        (
            "confirm",
            "Confirmation required: This removes everything. Continue?",
            "Run it in a terminal to confirm, or pass --yes to skip the prompt.",
        ),
    ],
)
def test_fail_no_terminal(act: str, message: str, fix: str) -> None:
    ended = run_example(*LIST, "--act", act)
    assert ended.code == 2
    assert ended.err == f"Error: {message} [SW_CONFIRMATION_NEEDED]\n  Fix: {fix}\n"


def test_success_question_at_a_terminal_is_asked_until_answered() -> None:
    shown = run_at_terminal(*LIST, "--act", "ask", keys="\n\nthis one\n")
    assert shown.code == 0
    assert shown.out.count("Which one: ") == 3
    assert shown.out.endswith("this one\n")


@pytest.mark.parametrize(
    ("keys", "times", "code"),
    [("yse\ny\n", 2, 0), ("n\n", 1, 1), ("\n", 1, 1), ("what\nwhat\nwhat\n", 3, 1)],
)
def test_success_confirmation_is_asked_again(keys: str, times: int, code: int) -> None:
    shown = run_at_terminal(*LIST, "--act", "confirm", keys=keys)
    assert shown.code == code
    assert shown.out.count("Continue? [y/N] ") == times
    assert shown.out.count("Warning: Answer y or n.\n") == keys.count("yse") + keys.count("what")
    assert ("agreed" in shown.out) == (code == 0)


def test_fail_terminal_is_closed_at_a_question() -> None:
    shown = run_at_terminal(*LIST, "--act", "ask", keys="\x04")
    assert shown.code == 1
    assert (
        "Error: Cancelled: no answer was entered. [SW_DECLINED]\n"
        "  Fix: Run the command again and answer, or pass --which.\n"
    ) in shown.out.replace("\r\n", "\n")


@pytest.mark.parametrize("option", ["--json", "--no-input"])
def test_fail_question_that_must_not_be_asked(option: str) -> None:
    shown = run_at_terminal(*LIST, "--act", "ask", option)
    assert shown.code == 2
    assert "SW_CONFIRMATION_NEEDED" in shown.out


def test_success_confirmed() -> None:
    for answer in ("y", "yes", "Y"):
        shown = run_at_terminal(*LIST, "--act", "confirm", keys=f"{answer}\n")
        assert shown.out.endswith("agreed\n")
    assert run_example(*LIST, "--act", "confirm", "--no-input").out == "agreed\n"


@pytest.mark.parametrize("keys", ["no\n", "\n", "perhaps\n" * 3, "\x04"])
def test_fail_declined(keys: str) -> None:
    shown = run_at_terminal(*LIST, "--act", "confirm", keys=keys)
    assert "This removes everything. Continue? [y/N] " in shown.out
    assert shown.code == 1
    assert "\ufffd" not in shown.out
    assert shown.out.endswith(
        "Error: Cancelled. No changes were made. [SW_DECLINED]\n"
        "  Fix: Answer y to confirm, or pass --yes to skip the prompt.\n"
    )


def test_success_every_command_takes_yes_and_asks_in_one_way() -> None:
    """An answer is read by the class of all commands, and a password where it is not shown."""
    for path, verb in VERBS.items():
        command = load_command_class(get_commands()[verb.command], verb.command)
        options = command.create_parser("scaiwave", path[-1])._option_string_actions
        assert options["--yes"] is options["--no-input"], path
    pattern = re.compile(r"stdin\.readline|\binput\(|\bgetpass\(")
    asking = {
        str(file.relative_to(CHECKOUT))
        for app in ("scaiwave", "tenants", "rooms", "federation", "identity_sync")
        for file in (CHECKOUT / app).rglob("*.py")
        if pattern.search(file.read_text(encoding="utf-8"))
    }
    assert asking == {"scaiwave/cli/command.py", "tenants/management/passwords.py"}


def test_success_called_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    call_command(list_tenants.Command(), "--quiet")
    assert capsys.readouterr().out.startswith("Slug")


def test_fail_called_from_python() -> None:
    with pytest.raises(CommandError, match=r"\AUnexpected argument: extra\. ") as caught:
        call_command(create_tenant.Command(), "extra")
    assert caught.value.returncode == 2
    assert isinstance(caught.value.__cause__, UsageError)


def test_fail_called_from_python_has_the_exit_code() -> None:
    with pytest.raises(CommandError) as caught:
        call_command(list_tenants.Command(), "--act", "missing", stdout=StringIO())
    assert caught.value.returncode == 1
    assert str(caught.value) == (
        "There is no tenant \x1b[31mred. [SW_PROBE_NOT_FOUND]\n  Fix: Look elsewhere."
    )


def test_success_called_from_python_with_options_of_django() -> None:
    out = StringIO()
    call_command(list_tenants.Command(), quiet=True, no_color=True, skip_checks=True, stdout=out)
    assert out.getvalue().startswith("Slug")


def test_success_sync_takes_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt subcommand of sync must never start a sync."""
    for words in (["regster"], ["--dry-run", "regster"], ["--", "regster"], ["--dry", "x"]):
        assert main(["sync", *words]) == 2
        assert "[SW_USAGE]" in capsys.readouterr().err
