"""For fish: one function that prints the possible words with their descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from scaiwave import __version__
from scaiwave.cli.completion.tree import CompletionType, Node

_SCRIPT = """\
# Completion of scaiwave {version} for fish, written by `scaiwave completion fish`.

function __scaiwave
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l before $typed[-1]
    set -l prefix ''
    set -l verb ''
    set -l asks ''
    set -l place ''
    set -l helping ''
    set -l straight 1
    set -l verbs
    set -l options
    set -l values
    if string match -q -- '--*=*' $current
        set before (string replace -r -- '=.*' '' $current)
        set prefix $before=
    end
    for word in $typed[2..]
        set -l longer (string trim -- "$verb $word")
        if test -z "$verb$helping" -a "$word" = help
            set helping 1
        else if __scaiwave_knows $longer
            set verb $longer
        else
            set straight ''
            break
        end
    end
    switch $verb
{arms}
    end
    if test -n "$helping"
        test -n "$straight"; and printf '%s\\n' $verbs
        return
    end
    if test -z "$asks"; and string match -q -- '-*' $current
        printf '%s\\n' $options
        return
    end
    if test -z "$asks"
        test -n "$straight"; and printf '%s\\n' $verbs
        set asks $place
    end
    if test "$asks" = file
        set values (__fish_complete_path (string replace -- "$prefix" '' $current))
        printf '%s\\n' $prefix$values
    else
        printf '%s\\n' $prefix$values
    end
end

function __scaiwave_knows
    switch $argv[1]
        case {known}
            return 0
    end
    return 1
end

complete -c scaiwave -f -a '(__scaiwave)'
"""


def build_script(nodes: Sequence[Node]) -> str:
    arms = "\n".join(line for node in nodes for line in _build_case(node))
    known = _quote_words(node.path for node in nodes if node.words)
    return _SCRIPT.format(version=__version__, arms=arms, known=known)


def _build_case(node: Node) -> Iterator[str]:
    described = ((flag, option.help) for option in node.options for flag in option.flags)
    yield f"        case {_quote(node.path)}"
    yield f"            set verbs {_format_pairs(node.verbs.items())}"
    yield f"            set options {_format_pairs(described)}"
    if node.positional.kind is not CompletionType.NOTHING:
        yield f"            set place {node.positional.kind.value}"
        yield f"            set values {_quote_words(node.positional.choices)}"
    valued = [option for option in node.options if option.value.kind is not CompletionType.NOTHING]
    if valued:
        yield "            switch $before"
        for option in valued:
            yield f"                case {_quote_words(option.flags)}"
            yield f"                    set asks {option.value.kind.value}"
            yield f"                    set values {_quote_words(option.value.choices)}"
        yield "            end"


def _format_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return _quote_words(f"{word}\t{text}" for word, text in pairs)


def _quote_words(words: Iterable[str]) -> str:
    return " ".join(map(_quote, words))


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
