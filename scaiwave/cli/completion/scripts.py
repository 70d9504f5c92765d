"""The script of each shell: a template, with the tree of commands in the syntax of the shell.

`bash.in` is for bash 3.2 and later, since macOS has that: no associative arrays, no mapfile.
`zsh.in` is sourced, even before compinit, or is the file _scaiwave in a directory of fpath. In
`fish.in` one function prints the possible words with their descriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from shlex import quote

from scaiwave import __version__
from scaiwave.cli.completion.tree import CompletionType, Node, build_tree

SHELLS = ("bash", "zsh", "fish")


def get_completion_script(shell: str) -> str:
    """Return the script for one of `SHELLS`."""
    template = Path(__file__).with_name(f"{shell}.in").read_text(encoding="utf-8")
    nodes = build_tree()
    paths = [node.path for node in nodes if node.words]
    known = _join_fish(paths) if shell == "fish" else "|".join(map(quote, paths))
    cases = "\n".join(line for node in nodes for line in _BUILDERS[shell](node))
    return (
        template.replace("@VERSION@", __version__)
        .replace("@CASES@", cases)
        .replace("@KNOWN@", known)
    )


def _build_case(
    node: Node,
    join: Callable[[Iterable[str]], str],
    describe: Callable[[str, str], str],
) -> Iterator[str]:
    """Yield the lines for the next words, and for options that take a value."""
    options = (describe(flag, option.help) for option in node.options for flag in option.flags)
    yield f"    ({quote(node.path)})"
    yield f"      verbs={join(describe(*pair) for pair in node.verbs.items())}"
    yield f"      options={join(options)}"
    positional = node.positional
    if positional.kind is not CompletionType.NOTHING:
        yield f"      place={positional.kind.value} values={join(positional.choices)}"
    if valued := node.valued_options:
        yield "      case $before in"
        for option in valued:
            asks = f"asks={option.value.kind.value} values={join(option.value.choices)}"
            yield f"        ({'|'.join(option.flags)}) {asks} ;;"
        yield "      esac"
    yield "      ;;"


def _build_bash_case(node: Node) -> Iterator[str]:
    return _build_case(node, lambda words: quote(" ".join(words)), lambda word, text: word)


def _build_zsh_case(node: Node) -> Iterator[str]:
    return _build_case(
        node,
        lambda words: f"({' '.join(map(quote, words))})",
        lambda word, text: f"{word.replace(':', chr(92) + ':')}:{text}",
    )


def _build_fish_case(node: Node) -> Iterator[str]:
    options = (f"{flag}\t{option.help}" for option in node.options for flag in option.flags)
    yield f"        case {_join_fish([node.path])}"
    yield f"            set verbs {_join_fish(map(chr(9).join, node.verbs.items()))}"
    yield f"            set options {_join_fish(options)}"
    if node.positional.kind is not CompletionType.NOTHING:
        yield f"            set place {node.positional.kind.value}"
        yield f"            set values {_join_fish(node.positional.choices)}"
    if valued := node.valued_options:
        yield "            switch $before"
        for option in valued:
            yield f"                case {_join_fish(option.flags)}"
            yield f"                    set asks {option.value.kind.value}"
            yield f"                    set values {_join_fish(option.value.choices)}"
        yield "            end"


def _join_fish(words: Iterable[str]) -> str:
    escaped = (word.replace("\\", "\\\\").replace("'", "\\'") for word in words)
    return " ".join(f"'{word}'" for word in escaped)


_BUILDERS = {"bash": _build_bash_case, "zsh": _build_zsh_case, "fish": _build_fish_case}
