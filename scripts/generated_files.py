"""Write the files that are made from the code, or only check them: see `scripts/generate`."""

from __future__ import annotations

import sys
import tempfile

from scripts import (
    command_reference,
    demo_picture,
    error_reference,
    example_outputs,
    floors_picture,
    permissions_table,
)
from scripts.command_table import write_files


def main(arguments: list[str]) -> int:
    try:
        files = build_files()
    except (error_reference.WordsMissing, example_outputs.ExamplesStale) as problem:
        print(problem)
        return 1
    return write_files(files, only_check=arguments == ["--check"])


def build_files() -> dict[str, str]:
    """Return the texts of all files by name."""
    with tempfile.TemporaryDirectory() as home:
        command_reference.set_up_django(home)
        pages = command_reference.build_pages()
        examples = example_outputs.build_pages()
        permissions = permissions_table.build_page()
    return {
        **pages,
        **examples,
        permissions_table.PAGE: permissions,
        "docs/images/demo.svg": demo_picture.draw(examples[example_outputs.DEMO]),
        "docs/images/floors.svg": floors_picture.draw(floors_picture.read_floors()),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
