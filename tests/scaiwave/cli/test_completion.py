"""Each script in its real shell; bash and zsh with a real press of the Tab key."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from scaiwave.cli.completion import SHELLS, get_completion_script
from scaiwave.cli.completion.tree import build_tree
from scaiwave.cli.verbs import VERBS
from tests.scaiwave.cli.pty_helpers import PROMPT, open_shell
from tests.scaiwave.cli_helpers import run_scaiwave

# Read at import: the `home` fixture takes it out of the environment.
REQUIRED = os.environ.get("SCAIWAVE_REQUIRE_SERVICES") == "1"

BASH = f"""\
PS1='{PROMPT}'
bind 'TAB:insert-completions' 'set enable-bracketed-paste off'
scaiwave() {{ if [[ $# == 2 && $1 == completion ]]; then list_slugs $2; else echo "«$*»"; fi; }}
source SCRIPT
"""
ZSH = f"""\
PS1='{PROMPT}' PROMPT_EOL_MARK=''
autoload -Uz compinit && compinit -u -D
zle -C every-match complete-word _generic
zstyle ':completion:every-match::::' completer _all_matches _complete
zstyle ':completion:every-match:*' insert yes
bindkey '^I' every-match
unsetopt list_beep prompt_sp
scaiwave() {{
  if [[ $# == 2 && $1 == completion ]]; then list_slugs $2; else print -r -- "«$*»"; fi
}}
source SCRIPT
"""

# The command of a server with these slugs; a shell hides what it reports if it fails.
LIST_SLUGS = """
list_slugs() {
  case $1 in
    (tenants) printf '%s\\n' acme acme-labs lab ;;
    (roles) echo "Error: ScaiKey is unreachable." >&2; return 2 ;;
  esac
}
"""

Completions = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scripts")
    for name in SHELLS:
        (directory / name).write_text(get_completion_script(name), encoding="utf-8")
    return directory


@pytest.fixture(params=SHELLS)
def completions(
    request: pytest.FixtureRequest, scripts: Path, tmp_path: Path
) -> Iterator[Completions]:
    """What a line is completed to, by the script in its shell."""
    name = request.param
    if shutil.which(name) is None:
        (pytest.fail if REQUIRED else pytest.skip)(f"{name} is not installed")
    script = scripts / name
    directory = tmp_path / "home of the shell"
    directory.mkdir()
    (directory / "password.txt").touch()
    if name == "fish":
        yield lambda line: in_fish(script, directory, line)
        return
    start, settings = {"bash": (".bashrc", BASH), "zsh": (".zshrc", ZSH)}[name]
    settings = LIST_SLUGS + settings.replace("SCRIPT", str(script))
    (directory / start).write_text(settings, encoding="utf-8")
    command = {"bash": ["bash", "--noprofile", "-i"], "zsh": ["zsh", "-d", "-i"]}[name]
    with open_shell(command, directory) as running:
        yield running.completions


def in_fish(script: Path, directory: Path, line: str) -> list[str]:
    listed = 'test "$argv[2]" = tenants; and string split " " "acme acme-labs lab"'
    slugs = f"function scaiwave; {listed}; end"
    complete = f"{slugs}; source {script}; complete --do-complete '{line}'"
    ended = subprocess.run(
        ["fish", "--no-config", "--command", complete],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8"},
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
    return [shown.partition("\t")[0] for shown in ended.stdout.splitlines()]


def test_success_commands(completions: Completions) -> None:
    assert sorted(completions("scaiwave ro")) == ["role", "room"]
    assert completions("scaiwave room ex") == ["export"]
    assert completions("scaiwave admin list-tenan") == ["list-tenants"]
    assert sorted(completions("scaiwave admin federation policy ")) == ["set", "show"]
    assert completions("scaiwave sync reg") == ["register"]
    assert completions("scaiwave nonsense ex") == []


def test_success_options_and_their_values(completions: Completions) -> None:
    assert sorted(completions("scaiwave admin list-tenants --s")) == ["--sort", "--status"]
    statuses = ["active", "all", "deactivated", "inactive", "suspended"]
    assert sorted(completions("scaiwave admin list-tenants --status ")) == statuses
    assert completions("scaiwave admin list-tenants --partner ") == []
    assert completions("scaiwave admin list-tenants --quiet --st") == ["--status"]
    assert completions("scaiwave sync --dry-run reg") == []


def test_success_value_after_an_equals_sign(completions: Completions) -> None:
    found = completions("scaiwave admin list-tenants --status=su")
    assert found == ["--status=suspended"]


def test_success_aliases(completions: Completions) -> None:
    assert completions("scaiwave stat") == ["status"]
    assert completions("scaiwave status --no-d") == ["--no-drift"]


def test_success_help_of_a_command(completions: Completions) -> None:
    assert completions("scaiwave hel") == ["help"]
    assert completions("scaiwave help admin fed") == ["federation"]
    assert completions("scaiwave help exi") == ["exit-codes"]
    assert "exit-codes" not in completions("scaiwave exi")


def test_success_arguments_and_files(completions: Completions) -> None:
    shells = ["bash", "fish", "roles", "tenants", "zsh"]
    assert sorted(completions("scaiwave completion ")) == shells
    assert completions("scaiwave admin show-group ") == []
    assert completions("scaiwave room convert sl") == ["slack"]
    files = completions("scaiwave admin create-administrator anna --password-file pass")
    assert files == ["password.txt"]


def test_success_columns_and_slugs(completions: Completions) -> None:
    assert completions("scaiwave room list --sort me") == ["media", "members"]
    assert completions("scaiwave admin list-tenants --sort=to") == ["--sort=tokens"]
    assert completions("scaiwave room list --tenant acme-") == ["acme-labs"]
    assert sorted(completions("scaiwave admin suspend-tenant a")) == ["acme", "acme-labs"]
    assert completions("scaiwave role show --tenant=la") == ["--tenant=lab"]
    assert completions("scaiwave role grant ") == []


@pytest.mark.parametrize("name", SHELLS)
def test_success_every_command_and_option_is_included(name: str, scripts: Path) -> None:
    script = (scripts / name).read_text(encoding="utf-8")
    for node in build_tree():
        assert all(word in script for word in node.words)
        for option in node.options:
            assert all(flag in script for flag in option.flags)
    assert {node.words for node in build_tree()} >= set(VERBS)


def test_success_command() -> None:
    ended = run_scaiwave("completion", "fish")
    assert (ended.code, ended.err, ended.out) == (0, "", get_completion_script("fish"))
    out = StringIO()
    call_command("completion", "zsh", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {
        "completion": {"shell": "zsh", "script": get_completion_script("zsh")}
    }


def test_success_zsh_before_its_completion_is_loaded(scripts: Path, tmp_path: Path) -> None:
    """As with a line at the top of .zshrc."""
    if shutil.which("zsh") is None:
        (pytest.fail if REQUIRED else pytest.skip)("zsh is not installed")
    ended = subprocess.run(
        ["zsh", "-f", "-c", f"source {scripts / 'zsh'}; print -r -- $_comps[scaiwave]"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ZDOTDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("_scaiwave\n", "")


def test_success_help_names_the_file_to_write() -> None:
    shown = run_scaiwave("completion", "--help").out
    for file in (
        "~/.local/share/bash-completion/completions/scaiwave",
        "~/.zfunc/_scaiwave",
        "~/.config/fish/completions/scaiwave.fish",
    ):
        assert file in shown


def test_fail_another_shell() -> None:
    ended = run_scaiwave("completion", "csh")
    assert ended.code == 2
    assert "'csh'" in ended.err
