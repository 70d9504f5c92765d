from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scaiwave import __version__
from scaiwave.cli import main
from scaiwave.cli.entry import run_guarded
from scaiwave.cli.hints import HINTS
from scaiwave.cli.overview import MANAGE_COMMANDS, PAGES, format_group, format_overview
from scaiwave.cli.verbs import GROUPS, VERBS, canonical_path, find_longest_match
from tests.scaiwave.cli_helpers import run_at_terminal, run_example, run_scaiwave, run_shell

pytestmark = pytest.mark.fresh_interpreter

TOP = Path(__file__).parents[3]
LISTS_VERBS = "  Fix: `scaiwave --help` lists the commands.\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["help", "help"]])
def test_success_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.out == format_overview()
    assert shown.err == ""


def test_success_help_of_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "exit-codes"]) == 0
    shown = capsys.readouterr().out
    assert [line.split("  ")[1] for line in shown.splitlines()[1:]] == [
        *("0", "1", "2", "3", "130, 143")
    ]


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["admin", "help"], ["admin", "--help"]),
        (["admin", "federation", "help"], ["admin", "federation", "--help"]),
        (["sync", "help"], ["sync", "--help"]),
        (["role", "help", "grant"], ["role", "grant", "--help"]),
    ],
)
def test_success_help_after_the_words_of_an_area(
    words: list[str], same: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (main(words), main(same)) == (0, 0)
    first, second = capsys.readouterr().out.split("age: ")[1:]
    assert first.removesuffix("Us").removesuffix("us") == second


@pytest.mark.parametrize("words", [["help", "exit"], ["help", "exit-code"], ["exit", "codes"]])
def test_fail_help_of_a_topic_that_is_misspelt(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    typed = " ".join(words).removeprefix("help ")
    assert capsys.readouterr().err == (
        f"Error: Unknown command: `scaiwave {typed}`. [SW_USAGE]\n"
        "  Fix: Run `scaiwave help exit-codes`.\n"
    )


def test_success_help_fits_a_screen() -> None:
    lines = format_overview().splitlines()
    assert len(lines) <= 32
    lines += [line for group in GROUPS for line in format_group(group).splitlines()]
    too_long = [line for line in lines if len(line) > 80]
    assert not too_long, "Shorten the `words` or the `summary` of these commands."
    pages = Path(PAGES).read_text().replace("\\n", "\n").replace("\t", "\n").splitlines()
    assert not [line for line in pages if len(line) > 80 and not line.startswith(" ")]
    assert not [line for line in pages if len(line) > 80 and line.startswith("  --")]
    assert {"scaiwave-worker.service,", "prometheus-alerts.yml,"} <= set(" ".join(pages).split())


@pytest.mark.parametrize("words", [["admin", "--help"], ["sync", "--help"], ["help"]])
def test_success_help_wraps_at_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_at_terminal(*words, COLUMNS="60").out
    main(words)
    assert shown.split() == capsys.readouterr().out.split()
    assert max(map(len, shown.splitlines())) <= 60


def test_success_help_lists_every_command() -> None:
    """The help of its first word does, and the overview names that word."""
    named = set(re.findall(r"[a-z-]+", format_overview()))
    for words in VERBS:
        assert words[0] in named, words
        if canonical_path(words):
            continue
        if words[:1] in GROUPS:
            listed = f"\n  {' '.join(words[1:])}  " in format_group(words[:1])
            assert listed, words


def test_success_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"scaiwave {__version__}\n"


def test_fail_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", format_overview())


@pytest.mark.parametrize("words", [["admin", "--help"], ["help", "admin"]])
def test_success_help_of_a_group(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: scaiwave admin <command> [options]\n")
    assert "\n  create-tenant  " in shown
    assert "sync register" not in shown


def test_fail_a_group_is_not_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["admin", "federation"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Usage: scaiwave admin federation <command> [options]\n")


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("sync regster", "Did you mean `scaiwave sync register`"),
        ("help sync regster", "Did you mean `scaiwave sync register`"),
        ("sync regster --dry-run", "Did you mean `scaiwave sync register`"),
        ("list-tenants", "Did you mean `scaiwave admin list-tenants`?\n"),
        ("admin list-tenant", "Did you mean `scaiwave admin list-tenants`"),
        ("admin list", "Did you mean `scaiwave admin"),
        ("regster", "Did you mean `scaiwave register`"),
        ("flush", "`scaiwave --help` lists the commands.\n"),
        ("help nonsense", "`scaiwave --help` lists the commands.\n"),
        ("sync_register", "Did you mean `scaiwave sync register`"),
        ("admin nonsense", "`scaiwave admin --help` lists the commands.\n"),
        ("admin list-tenant acme", "Did you mean `scaiwave admin list-tenants`, "),
        ("admin federation keys list", "Did you mean `scaiwave admin federation key list` or "),
        ("federation key list", "Did you mean `scaiwave admin federation key list`?\n"),
        ("rol", "Did you mean `scaiwave role`?\n"),
        ("room exprt lobby", "Did you mean `scaiwave room export`?\n"),
        ("role assign editors", "Run `scaiwave role grant`.\n"),
        ("role holders", "Run `scaiwave role show <role> --tenant <tenant>`.\n"),
        ("sync history", "Run `scaiwave sync runs`, and `scaiwave sync show-run <run>` for "),
        ("sync now", "Run `scaiwave sync`.\n"),
        ("sync plan plan.json", "Run `scaiwave sync --dry-run`, or `scaiwave sync --plan <file>`"),
        ("delete-tenant acme", "Tenants are never deleted. Run `scaiwave admin suspend-"),
        ("admin list-users", "Run `scaiwave admin list-participants`.\n"),
        ("list-users", "Run `scaiwave admin list-participants`.\n"),
        ("admin create-user anna", "Add, change and remove people in ScaiKey, then run `scai"),
        ("admin delete-partner west", "Partners are never deleted. Run `scaiwave "),
        ("room remove lobby", "Run `scaiwave room delete <room> --tenant <tenant> --reason "),
        ("role add editors", "Run `scaiwave role grant`.\n"),
        ("role remove editors", "Run `scaiwave role revoke`, or `scaiwave role delete` for the "),
        ("key rotate", "Did you mean `scaiwave admin federation key rotate`?\n"),
        ("admin federation key delete k1", "Keys are never deleted. Run `scaiwave admin fed"),
        ("key create", "Run `scaiwave admin federation key generate`.\n"),
        ("admin delete-tenant acme", "Tenants are never deleted. Run `scaiwave admin suspend-"),
        ("migrate tenants", "Run `scaiwave manage migrate tenants`.\n"),
    ],
)
def test_fail_unknown_command(words: str, fix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    typed = words.removeprefix("help ").removesuffix(" --dry-run")
    assert shown.out == ""
    assert shown.err.startswith(
        f"Error: Unknown command: `scaiwave {typed}`. [SW_USAGE]\n  Fix: {fix}"
    )


def test_success_hints_name_commands_that_exist() -> None:
    for words, fix in HINTS.items():
        typed = words.split()
        assert tuple(typed) not in VERBS
        assert "--help" not in fix
        for named in re.findall(r"`scaiwave ([^`]*)`", fix):
            first = named.split()
            is_known = find_longest_match(first) in VERBS or first[0] in {"manage", "--version"}
            is_known = is_known or first == ["help", "exit-codes"]
            assert is_known, fix
            if first[0] == "manage":
                assert first[1] in MANAGE_COMMANDS


@pytest.mark.parametrize(
    ("words", "known"),
    [("--quiet sync", "scaiwave"), ("admin --quiet list-tenants", "scaiwave admin")],
)
def test_fail_options_before_the_command(
    words: str, known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert capsys.readouterr().err == (
        f"Error: `{known}` needs a command before --quiet. [SW_USAGE]\n"
        f"  Fix: Write options after the command. `{known} --help` lists the commands.\n"
    )


@pytest.mark.parametrize("option", ["--json", "--jsonl"])
def test_fail_unknown_command_as_json(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flush", option]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        '{"error": {"code": "SW_USAGE", "message": "Unknown command: `scaiwave flush`.", '
        '"fix": "`scaiwave --help` lists the commands."}}\n'
    )


def test_success_json_after_two_dashes_is_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flush", "--", "--json"]) == 2
    assert capsys.readouterr().err.startswith("Error: ")


def test_fail_typed_words_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_fail_words_that_are_not_unicode() -> None:
    ended = run_shell("scaiwave \"$(printf '\\377')\"")
    assert ended.code == 2
    assert ended.err == "Error: Unknown command: `scaiwave '\N{REPLACEMENT CHARACTER}'`. " + (
        "[SW_USAGE]\n" + LISTS_VERBS
    )


@pytest.mark.parametrize("words", ["--help", "admin list-tenants --act many"])
def test_success_reader_closes_the_pipe(words: str) -> None:
    ended = run_shell(f"{{ scaiwave {words}; echo $? >&3; }} 3>&2 | head -c 1 >/dev/null")
    assert ended.err == "0\n"


@pytest.mark.parametrize("words", ["--help", "admin list-tenants --act rows"])
def test_success_stdout_is_closed(words: str) -> None:
    ended = run_shell(f"scaiwave {words} >&-; echo $?")
    assert ended.out == "0\n"
    assert "Traceback" not in ended.err


def test_success_stderr_is_a_closed_pipe() -> None:
    """The work goes on, and its answer is printed."""
    ended = run_shell(
        "exec 3>&1; { scaiwave admin list-tenants --act talk 2>&1 >&3; echo $? >&3; } | true"
    )
    assert ended.out == "the answer\n0\n"


def test_fail_exit_code_stays_if_stderr_is_a_closed_pipe() -> None:
    ended = run_shell("exec 3>&1; { scaiwave flush 2>&1 >/dev/null; echo $? >&3; } | true")
    assert ended.out == "2\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_fail_stdout_is_full() -> None:
    ended = run_shell("scaiwave admin list-tenants >/dev/full")
    assert ended.code == 1
    assert ended.err == (
        "talking\nError: No space left to write the output. [SW_DISK_FULL]\n"
        "  Fix: Free some space, then run the same command again.\n"
    )


def test_fail_another_broken_pipe_is_not_taken_for_that_of_stdout() -> None:
    ended = run_example("admin", "list-tenants", "--act", "socket")
    assert ended.code == 1
    assert "BrokenPipeError" in ended.err


def test_success_any_encoding() -> None:
    ended = run_example("admin", "list-tenants", PYTHONIOENCODING="ascii")
    assert ended.code == 0
    assert "\\u65e5\\u672c" in ended.out


def test_success_help_of_djangos_commands() -> None:
    ended = run_scaiwave("help", "manage", "migrate")
    assert ended.code == 0
    assert ended.out.startswith("usage: scaiwave manage migrate")


@pytest.mark.parametrize(
    "name", ["backfill_search_index", "publish_docs", "scaigrid_service_token_smoke"]
)
def test_fail_a_script_with_a_python_that_lacks_the_libraries(name: str, tmp_path: Path) -> None:
    environment = {"SCAIWAVE_HOME": str(tmp_path)}
    command = [sys.executable, "-S", f"scripts/{name}.py", "--json"]
    ended = subprocess.run(
        command, cwd=TOP, env=environment, capture_output=True, text=True, check=False
    )
    error = json.loads(ended.stderr)["error"]
    assert (ended.returncode, ended.stdout, error["code"]) == (2, "", "SW_LIBRARY_MISSING")
    assert error["message"].startswith("Python library not found: ")
    assert error["message"].endswith(f" (in {sys.executable}).")


def test_fail_a_missing_module_of_the_suite_is_a_defect() -> None:
    def act() -> int:
        importlib.import_module("scaiwave.nowhere")
        return 0

    with pytest.raises(ModuleNotFoundError):
        run_guarded(act, as_json=False)
