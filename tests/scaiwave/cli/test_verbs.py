"""Every command behaves as the table of commands describes it."""

from __future__ import annotations

import re
import shlex
from inspect import Parameter, signature
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from scaiwave.cli.arguments import Arguments, Excludes, build_arguments, check_rules
from scaiwave.cli.command import ListCommand, OperatorCommand
from scaiwave.cli.django_entry import VerbParser, add_django_options
from scaiwave.cli.hints import suggest
from scaiwave.cli.verbs import (
    AREAS,
    GROUPS,
    TABLE,
    VERBS,
    Verb,
    VerbPath,
    canonical_path,
    find_longest_match,
    subcommands,
)
from scaiwave.core.errors import UsageError

BUILT = list(VERBS.items())
every_verb = pytest.mark.parametrize(
    ("words", "verb"), BUILT, ids=[" ".join(words) for words, _ in BUILT]
)
# The words of the platform's command line (ScaiWave docs, reference/cli), which never change.
OF_THE_PLATFORM = [
    "sync",
    "sync register",
    "sync status",
    "sync show-config",
    "sync export-env",
    "admin list-tenants",
    "admin create-tenant",
    "admin federation key generate",
    "admin federation key rotate",
    "role",
    "room export",
    "room import",
    "register",
    "status",
    "show-config",
    "export-env",
]


def command(verb: Verb) -> OperatorCommand:
    loaded = load_command_class(get_commands()[verb.command], verb.command)
    assert isinstance(loaded, OperatorCommand)
    return loaded


@pytest.mark.parametrize("words", OF_THE_PLATFORM)
def test_success_words_of_the_platform(words: str) -> None:
    found = find_longest_match(words.split())
    assert found == tuple(words.split())
    assert found in VERBS or found in GROUPS


@every_verb
def test_success_command_exists_and_can_start(words: VerbPath, verb: Verb) -> None:
    assert verb.command in get_commands(), f"there is no command {verb.command}"
    shown = command(verb).create_parser("", verb.command).format_help()
    canonical = " ".join(canonical_path(words) or words)
    assert shown.startswith(f"usage: scaiwave {canonical} ")
    assert "--json" in shown
    assert ("--dry-run" in shown) == command(verb).changes


def test_success_services_take_every_option() -> None:
    """A command that only declares its service must not drop an option that it offers."""
    common = VerbParser(add_help=False)
    add_django_options(common, "", strict=False)
    ignored = {action.dest for action in common._actions}
    ignored |= {"help", "json", "jsonl", "csv", "quiet", "verbosity", "no_input"}
    for verb in VERBS.values():
        loaded = command(verb)
        kind = type(loaded)
        is_list = isinstance(loaded, ListCommand)
        if "handle" in vars(kind) or (kind.load_rows if is_list else kind.run) not in (  # type: ignore[attr-defined]
            ListCommand.load_rows,
            OperatorCommand.run,
        ):
            continue
        actions = loaded.create_parser("", verb.command)._actions
        offered = {action.dest for action in actions} - ignored
        if isinstance(loaded, ListCommand) and not loaded.paged:
            offered -= {"limit", "after"}  # The list itself ends there.
        taken = signature(kind.service).parameters.values()
        assert offered <= {each.name for each in taken}, verb.command
        required = {each.name for each in taken if each.default is Parameter.empty}
        given = {"operator", "now", "confirm", "config", "progress_factory"}
        given |= {"limit", "after"} if is_list else set()
        assert required <= offered | given, verb.command


def is_broken(rule: Excludes, given: Arguments, common: set[str]) -> bool:
    try:
        check_rules([rule], given, common)
    except UsageError:
        return True
    return False


def break_rule(line: str) -> tuple[OperatorCommand, Excludes]:
    """Return the command, and the rule that the words before the colon break with this message."""
    words = line.partition(": ")[0].split()
    path = find_longest_match(words)
    loaded = command(VERBS[path])
    options = loaded.create_parser("", "").parse_args(words[len(path) :])
    given, common = build_arguments(loaded.arguments, vars(options)), {"--dry-run"} & {*words}
    with pytest.raises(UsageError) as caught:
        check_rules(loaded.option_rules, given, common)
    assert f"{' '.join(words)}: {caught.value.message}" == line
    return loaded, next(rule for rule in loaded.option_rules if is_broken(rule, given, common))


def test_fail_each_rule_is_broken_once() -> None:
    lines = Path(__file__).with_name("broken_rules.txt").read_text("utf-8").splitlines()
    broken = [break_rule(line) for line in lines]
    for verb in VERBS.values():
        loaded = command(verb)
        found = [rule for other, rule in broken if other.words == loaded.words]
        assert [rule for rule in loaded.option_rules if rule not in found] == [], verb.command
        actions = loaded.create_parser("", verb.command)._actions
        known = {name for each in actions for name in each.option_strings or [each.dest.upper()]}
        for rule in loaded.option_rules:
            assert known.issuperset(f"{rule.options} {rule.others}".split()), verb.command
            assert rule.fix.endswith("."), verb.command


@every_verb
def test_success_examples_are_understood(words: VerbPath, verb: Verb) -> None:
    canonical = canonical_path(words) or words
    for example in command(verb).examples:
        typed = [line for line in simple_commands(example) if find_longest_match(line) == canonical]
        assert typed, example
        for line in typed:
            command(verb).create_parser("", verb.command).parse_args(line[len(canonical) :])


def simple_commands(example: str) -> list[list[str]]:
    """What `scaiwave` is called with in a line of shell, which may have pipes and redirections."""
    line = re.sub(r" [<>] \S+", "", example.removeprefix('eval "$(').removesuffix(')"'))
    parts = [shlex.split(part) for part in line.split(" | ")]
    return [part[part.index("scaiwave") + 1 :] for part in parts]


@every_verb
def test_success_commands_with_subcommands_take_no_arguments(words: VerbPath, verb: Verb) -> None:
    """Otherwise a misspelt command would count as an argument."""
    if subcommands(words):
        parser = command(verb).create_parser("", str(verb.command))
        assert not [action for action in parser._actions if not action.option_strings]


def test_success_every_command_is_reachable() -> None:
    """Every command of the apps is in the table: there is no other way to run it."""
    ours = {
        name
        for name, app in get_commands().items()
        if app in {"scaiwave", "tenants", "federation", "rooms", "identity_sync"}
        and isinstance(load_command_class(app, name), OperatorCommand)
    }
    assert ours == {verb.command for _, verb in BUILT}


def test_success_aliases() -> None:
    for name in ("register", "status", "show-config", "export-env"):
        assert canonical_path((name,)) == ("sync", name)
        assert canonical_path(("sync", name)) is None


def test_success_longest_words_win() -> None:
    assert find_longest_match(["sync", "register", "x"]) == ("sync", "register")
    assert find_longest_match(["sync", "regster"]) == ("sync",)
    assert find_longest_match(["admin", "federation", "key"]) == ("admin", "federation", "key")
    assert find_longest_match(["x"]) == ()


def test_success_nearest() -> None:
    assert suggest(["sync", "regster"])[0] == "sync register"
    assert suggest(["list-tenants"]) == ["admin list-tenants"]
    assert suggest(["qqqq"]) == []


def test_success_summaries_are_imperative_and_short() -> None:
    for words, verb in VERBS.items():
        assert len(verb.help) < 60, words
        assert verb.help[0].isupper(), words
        assert not verb.help.endswith("."), words


def test_success_table_is_what_the_commands_declare() -> None:
    """`scripts/generate` writes it, in the order of the areas and their places."""
    entries = [line.split("\t") for line in Path(TABLE).read_text("utf-8").splitlines()]
    commands = [command(Verb(*fields)) for _, _, *fields in entries]
    assert [tuple(entry) for entry in entries] == [each.get_entry() for each in commands]
    places = [(list(AREAS).index(each.area), each.place) for each in commands]
    assert sorted(set(places)) == places


def test_success_summary_is_the_first_sentence_of_the_help() -> None:
    assert command(VERBS["role", "create"]).summary == ""
    assert VERBS["role", "create"].help == "Create a role"
    assert VERBS["doctor",].help == "Check this server and suggest fixes"


@every_verb
def test_success_usage_fits_the_screen(words: VerbPath, verb: Verb) -> None:
    usage = command(verb).create_parser("", verb.command).format_usage()
    assert max(map(len, usage.splitlines())) <= 80
    assert usage.endswith("[options]\n")
