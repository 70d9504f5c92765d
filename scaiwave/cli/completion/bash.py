"""For bash 3.2 and later, since macOS has that: no associative arrays, no mapfile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from scaiwave import __version__
from scaiwave.cli.completion.tree import CompletionType, Node

_SCRIPT = """\
# Completion of scaiwave {version} for bash, written by `scaiwave completion bash`.

_scaiwave() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
  local verb='' verbs='' options='' values='' asks='' place='' helping='' straight=1 word i
  COMPREPLY=()
  # An equals sign is a word of its own here.
  if [[ $current == '=' ]]; then
    current=''
  elif [[ $before == '=' ]]; then
    before=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${{COMP_WORDS[i]}}
    if [[ $i == 1 && $word == help ]]; then
      helping=1
    elif _scaiwave_knows "${{verb:+$verb }}$word"; then
      verb=${{verb:+$verb }}$word
    else
      straight=''
      break
    fi
  done
  case $verb in
{arms}
  esac
  if [[ $helping ]]; then
    [[ $straight ]] || return
    options='' values='' asks='' place=''
  elif [[ ! $asks && $current == -* ]]; then
    values=$options asks=word
  fi
  if [[ ! $asks ]]; then
    values=$values${{straight:+ $verbs}} asks=${{place:-word}}
  fi
  if [[ $asks == file ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current")
  else
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$values" -- "$current")
  fi
}}

_scaiwave_knows() {{
  case $1 in
    {known}) return 0 ;;
  esac
  return 1
}}

complete -F _scaiwave scaiwave
"""


def build_script(nodes: Sequence[Node]) -> str:
    arms = "\n".join(line for node in nodes for line in _build_case(node))
    known = " | ".join(quote(node.path) for node in nodes if node.words)
    return _SCRIPT.format(version=__version__, arms=arms, known=known)


def _build_case(node: Node) -> Iterator[str]:
    """Yield the lines for the next words, and for options that take a value."""
    flags = [flag for option in node.options for flag in option.flags]
    yield f"    {quote(node.path)})"
    yield f"      verbs={quote(' '.join(node.verbs))}"
    yield f"      options={quote(' '.join(flags))}"
    positional = node.positional
    if positional.kind is not CompletionType.NOTHING:
        yield f"      place={positional.kind.value} values={quote(' '.join(positional.choices))}"
    valued = [option for option in node.options if option.value.kind is not CompletionType.NOTHING]
    if valued:
        yield "      case $before in"
        for option in valued:
            values = quote(" ".join(option.value.choices))
            asks = f"asks={option.value.kind.value} values={values}"
            yield f"        {' | '.join(option.flags)}) {asks} ;;"
        yield "      esac"
    yield "      ;;"
