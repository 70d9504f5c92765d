#!/usr/bin/env python3
"""Check that no code reads data out of sentences that it shows: scripts/check_texts.py [DIRECTORY]

What operators read is made from data, and may be reworded at any time. So no module may compare,
search or cut a value that is named as a sentence (see SENTENCES), or compare it with a sentence,
and no query or template may either. Texts of others, such as errors of a database, are allowed
here one by one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PACKAGES = ("federation", "identity_sync", "rooms", "scaiwave", "tenants")
EXCLUDED = {"migrations", "sandbox"}

SENTENCES = {
    *("advice", "detail", "effect", "error_fix", "error_message", "fix", "inactive_reason"),
    *("message", "note", "question", "reason", "remedy", "summary", "warning", "warnings"),
}
"""Names of variables, attributes, keys and columns that have sentences."""

CUTTING = {
    *("startswith", "endswith", "removeprefix", "removesuffix", "replace", "partition"),
    *("rpartition", "split", "rsplit", "find", "rfind", "index", "rindex"),
}
SEARCHING = {"search", "match", "fullmatch", "sub", "subn", "findall", "finditer"}
UNCHANGING = {"lower", "upper", "casefold", "strip", "rstrip", "lstrip"}
QUERYING = {"filter", "exclude", "get", "Q", "When", "get_or_create"}

ALLOWED = {
    ("scaiwave/clients/http/exceptions.py", "'closed connection' in text"),  # of httpcore
    # The words of FastAPI.
    ("scaiwave/clients/scaikey/responses.py", "response_detail(response) == 'Not Found'"),
    ("tenants/holds/hold.py", "_find_others(hold).filter(reason=reason)"),  # typed by operators
    ("tenants/lookup/validators.py", "strip_control_chars(reason) != reason"),  # typed by operators
}
"""What is not a sentence of this suite, by file and expression."""

_SENTENCE = re.compile(r"[a-zA-Z]{2,}[,:;]? [a-zA-Z]{2,}")
_CODE = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|EXISTS|CASE|COALESCE|\(|AND|OR)\b")
_SQL = re.compile(r"(?:=|<>|\bIN\s*\(|\bLIKE)\s*'%?[A-Za-z]+[,:]? [a-z][^'=]*'")
_NAMES = "|".join(sorted(SENTENCES))
_TEMPLATE = re.compile(
    rf"\{{%-?\s*(?:el)?if\b[^%]*(?:\b(?:{_NAMES})\s*(?:[=!]=|in\b)|\bin\s+[\w.]*\b(?:{_NAMES})\b)"
    rf"|\b(?:{_NAMES})\|(?:cut|slice|split)\b"
)

Constants = dict[str, set[str]]
"""The names of module-level constants that are sentences, by module."""


def main() -> int:
    top = Path(sys.argv[1]) if len(sys.argv) > 1 else TOP
    problems = [*find_stale_names(top), *find_problems(top)]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


def find_stale_names(top: Path) -> Iterator[str]:
    """Yield what this script names and a checkout no longer has, so that it would check nothing."""
    for package in PACKAGES:
        if not (top / package / "__init__.py").is_file():
            yield f"{package}: not a package"
    for name, text in sorted(ALLOWED):
        file = top / name
        tree = ast.parse(file.read_text(encoding="utf-8") if file.is_file() else "")
        if text not in {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.expr)}:
            yield f"{name}: allowed, but not there: {text}"


def find_problems(top: Path) -> Iterator[str]:
    """Yield the problems as lines with file, line number and expression."""
    trees = {
        file.relative_to(top): ast.parse(file.read_text(encoding="utf-8"))
        for file in _list_files(top, "*.py")
    }
    constants = {_name_module(file): _find_constants(tree) for file, tree in trees.items()}
    for file, tree in trees.items():
        known = constants[_name_module(file)] | _find_imported(tree, constants)
        for node in ast.walk(tree):
            if _is_problem(node, known):
                text = ast.unparse(node)
                if (file.as_posix(), text) not in ALLOWED:
                    yield f"{file}:{getattr(node, 'lineno', 0)}: {text[:120]}"
    for template in _list_files(top, "*.html"):
        for number, line in enumerate(template.read_text(encoding="utf-8").splitlines(), start=1):
            if match := _TEMPLATE.search(line):
                yield f"{template.relative_to(top)}:{number}: {match.group()}"


def _list_files(top: Path, pattern: str) -> Iterator[Path]:
    for package in PACKAGES:
        for file in sorted((top / package).rglob(pattern)):
            if not EXCLUDED & set(file.relative_to(top).parts):
                yield file


def _name_module(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def _find_constants(tree: ast.Module) -> set[str]:
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and _is_sentence(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _find_imported(tree: ast.Module, constants: Constants) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in constants.get(node.module or "", ())
    }


def _is_problem(node: ast.AST, known: set[str]) -> bool:
    match node:
        case ast.Compare(left=left, comparators=others):
            sides = [left, *others]
            is_other = any(isinstance(s, ast.Constant) and s.value in ("", None) for s in sides)
            return not is_other and any(
                _is_sentence(side, known) or _get_name(side) in SENTENCES for side in sides
            )
        case ast.Call(func=ast.Attribute(value=value, attr=method), args=given) if (
            method in CUTTING
        ):
            has_sentence = any(_is_sentence(argument, known) for argument in given)
            return has_sentence or _get_name(value) in SENTENCES or _is_query(node)
        case ast.Call(func=ast.Attribute(attr=method), args=given) if method in SEARCHING:
            return any(_get_name(argument) in SENTENCES for argument in given) or _is_query(node)
        case ast.Call():
            return _is_query(node)
        case ast.JoinedStr():
            return _has_quoted_sentence(node, known)
        case ast.Constant(value=str(text)):
            return _SQL.search(text) is not None
    return False


def _is_query(node: ast.Call) -> bool:
    """Whether a column of sentences is a condition, other than that it is empty."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else _get_name(node.func)
    return name in QUERYING and any(
        keyword.arg.partition("__")[0] in SENTENCES or "__reason" in keyword.arg
        for keyword in node.keywords
        if keyword.arg and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
    )


def _has_quoted_sentence(node: ast.JoinedStr, known: set[str]) -> bool:
    """Whether SQL has a sentence as a literal."""
    before = ""
    for part in node.values:
        is_quoted = before.endswith("'") and isinstance(part, ast.FormattedValue)
        if is_quoted and _is_sentence(part.value, known):  # type: ignore[attr-defined]
            return True
        before = str(part.value) if isinstance(part, ast.Constant) else ""
    return False


def _is_sentence(node: ast.expr, known: set[str]) -> bool:
    """Whether it is a text of several words, a constant that is one, or has one of these."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(_SENTENCE.search(node.value)) and not _CODE.match(node.value)
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(_is_sentence(element, known) for element in node.elts)
    return isinstance(node, ast.Name) and node.id in known


def _get_name(node: ast.expr) -> str:
    """Return the last name of `a.b`, `a["b"]`, `str(a.b)`, `a.b.lower()` and `a.b or ""`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.BoolOp(values=[first, *_]):
            return _get_name(first)
        case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in UNCHANGING:
            return _get_name(value)
        case ast.Call(func=ast.Name(id="str"), args=[first]):
            return _get_name(first)
    return ""


if __name__ == "__main__":
    sys.exit(main())
