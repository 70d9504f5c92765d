"""For zsh: sourced, even before compinit, or as the file _scaiwave in a directory of fpath."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from shlex import quote

from scaiwave import __version__
from scaiwave.cli.completion.tree import CompletionType, Node

_SCRIPT = """\
#compdef scaiwave
# Completion of scaiwave {version} for zsh, written by `scaiwave completion zsh`.

_scaiwave() {{
  local current=$words[CURRENT] before=$words[CURRENT-1] verb='' asks='' place='' helping=''
  local straight=1 i
  local -a verbs options values
  if [[ $current == --*=* ]]; then
    before=${{current%%=*}}
    compset -P '*='
  fi
  for ((i = 2; i < CURRENT; i++)); do
    if [[ $i == 2 && $words[i] == help ]]; then
      helping=1
    elif _scaiwave_knows "${{verb:+$verb }}$words[i]"; then
      verb=${{verb:+$verb }}$words[i]
    else
      straight=''
      break
    fi
  done
  case $verb in
{arms}
  esac
  if [[ -n $helping ]]; then
    [[ -n $straight ]] && _describe verb verbs
    return
  fi
  if [[ -z $asks && $current == -* ]]; then
    _describe -o option options
    return
  fi
  if [[ -z $asks ]]; then
    [[ -n $straight ]] && _describe verb verbs
    asks=$place
  fi
  if [[ $asks == file ]]; then
    _files
  else
    compadd -a values
  fi
}}

_scaiwave_knows() {{
  case $1 in
    ({known}) return 0 ;;
  esac
  return 1
}}

if [[ $funcstack[1] == _scaiwave ]]; then
  _scaiwave "$@"
else
  (( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit }}
  compdef _scaiwave scaiwave
fi
"""


def build_script(nodes: Sequence[Node]) -> str:
    arms = "\n".join(line for node in nodes for line in _build_case(node))
    known = "|".join(quote(node.path) for node in nodes if node.words)
    return _SCRIPT.format(version=__version__, arms=arms, known=known)


def _build_case(node: Node) -> Iterator[str]:
    described = ((flag, option.help) for option in node.options for flag in option.flags)
    yield f"    ({quote(node.path)})"
    yield f"      verbs=({_format_pairs(node.verbs.items())})"
    yield f"      options=({_format_pairs(described)})"
    positional = node.positional
    if positional.kind is not CompletionType.NOTHING:
        yield f"      place={positional.kind.value} values=({_quote_words(positional.choices)})"
    valued = [option for option in node.options if option.value.kind is not CompletionType.NOTHING]
    if valued:
        yield "      case $before in"
        for option in valued:
            values = _quote_words(option.value.choices)
            asks = f"asks={option.value.kind.value} values=({values})"
            yield f"        ({'|'.join(option.flags)}) {asks} ;;"
        yield "      esac"
    yield "      ;;"


def _format_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return _quote_words(f"{word.replace(':', chr(92) + ':')}:{text}" for word, text in pairs)


def _quote_words(words: Iterable[str]) -> str:
    return " ".join(map(quote, words))
