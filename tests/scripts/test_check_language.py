from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import check_language
from scripts.check_language import Term, find_uses, is_checked, python_prose, tracked_files


def find_terms(directory: Path, name: str, text: str) -> list[tuple[str, int]]:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return [(use.term.name, use.line) for use in find_uses(directory, [name])]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("The lock, or that\nof the sync.", "that of, those of"),
        ("Keep those that fit.", "that of, those of"),
        ("It is neither here nor there.", "neither"),
        ("It fails, and so does the next.", "so does, so is"),
        ("It waits for ever.", "for ever"),
        ("Of the rows, ten are new.", "Of a …"),
        ("It counts, also if it fails.", "also if"),
        ("Every list, also of people.", "also if"),
    ],
)
def test_fail_patterns(tmp_path: Path, text: str, name: str) -> None:
    assert find_terms(tmp_path, "rooms/a.py", f'"""{text}"""\n')[0][0] == name
    assert find_terms(tmp_path, "docs/a.md", text)[0][0] == name
    assert find_terms(tmp_path, "tests/a.md", text) == []


def test_success_what_resembles_patterns(tmp_path: Path) -> None:
    text = "The error of the list that is also in the log, so a run is listed as one of the last."
    assert find_terms(tmp_path, "a.md", text) == []


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Nobody may. NOBODY!", [("nobody", 1), ("nobody", 1)]),
        ("Done\nby\nhand, or mended.", [("by hand", 2), ("mend", 3)]),
        ("That is none; it is None.", [("is none", 1)]),
        ("suspended_by_hand_at, SW_SYNC_BRAKE, amend, unfolder", []),
        ("the home\ndirectory, the home directory, the home page", [("the home", 2)]),
        ("This is no ZIP file. There is no room, and it is no longer there.", [("is no …", 1)]),
        ("One that ScaiKey hasn't, serialized.", [("ScaiKey hasn't", 1), ("serialize", 1)]),
        ("What was left; days for which it stays.", [("for which", 1), ("what was", 1)]),
        ("It carried in what we carry out.", [("carry in, carry out", 1)] * 2),
        (
            "It says why; everybody works off what it tells.",
            [
                ("anybody, everybody", 1),
                ("says why", 1),
                ("told", 1),
                ("work off", 1),
            ],
        ),
    ],
)
def test_success_whole_words(tmp_path: Path, text: str, terms: list[tuple[str, int]]) -> None:
    assert sorted(find_terms(tmp_path, "page.md", text)) == sorted(terms)


def test_success_python_without_names(tmp_path: Path) -> None:
    source = (
        'def told(folder):\n    """Mend it."""\n    # by\n    # hand\n'
        '    return f"{folder} of nobody" + "a folder"\n'
    )
    assert sorted(find_terms(tmp_path, "a.py", source)) == [
        ("by hand", 3),
        ("folder", 5),
        ("mend", 2),
        ("nobody", 5),
    ]
    assert "told" not in python_prose(source)


def test_success_names_of_tests(tmp_path: Path) -> None:
    source = "def test_fail_taken_meanwhile() -> None:\n    assert nobody\n"
    assert find_terms(tmp_path, "test_a.py", source) == [("meanwhile", 1)]


def test_fail_a_word_with_another_meaning_in_its_places(tmp_path: Path) -> None:
    text = "Keep the last link of a chain; no one is purged."
    meanings = [("link of a chain", 1), ("purge of a person", 1)]
    assert sorted(find_terms(tmp_path, "docs/how-to/a.md", text)) == meanings
    assert find_terms(tmp_path, "docs/CHANGELOG.md", text) == []
    source = "class NextLink:\n    first_link = purge_person()  # the links below a page\n"
    term = Term("link", "increment", "links?", "rooms/*.py", r"# a URL")
    (tmp_path / "rooms").mkdir()
    for name, lines in (("rooms/a.py", [1, 2, 2]), ("tenants.py", [])):
        (tmp_path / name).write_text(f"{source}link = 1  # a URL\n", encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(check_language, "MEANINGS", (term,))
            uses = find_uses(tmp_path, [name], [term])
            assert [use.line for use in uses] == lines


def test_success_allowed(tmp_path: Path) -> None:
    assert find_terms(tmp_path, "scaiwave/cli/a.md", "A verb.") == []
    assert find_terms(tmp_path, "docs/CONTRIBUTING.md", "`Verb`\nA verb.") == [("verb", 2)]
    assert find_terms(tmp_path, "a.py", '"See scaiwave.cli.verbs"') == []


@pytest.mark.parametrize(
    ("file", "checked"),
    [
        ("README.md", True),
        ("scripts/demo", True),
        ("rooms/migrations/0001_initial.py", False),
        ("scripts/requirements/dev.txt", False),
        ("docs/images/demo.svg", False),
        ("scripts/check_language.py", False),
    ],
)
def test_success_files(file: str, *, checked: bool) -> None:
    assert is_checked(file) is checked


def test_success_new_files_are_found_before_their_commit(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "new.md").write_text("text", encoding="utf-8")
    (tmp_path / "ignored.md").write_text("text", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("ignored.md\n", encoding="utf-8")
    assert tracked_files(tmp_path) == [".gitignore", "new.md"]
