"""Whether the name of a role could be mistaken for a built-in role's."""

from __future__ import annotations

import unicodedata
from shlex import quote

from tenants.errors import RoleBuiltIn
from tenants.lookup.validators import BLANKS
from tenants.roles.queries.roles import BUILT_IN

# Characters of other scripts, and digits and signs, that look like the letters of the built-in
# roles (Unicode TS 39 has the complete table). After case folding and decomposition.
_SAME_LOOK = {
    "a": "аαɑ4@",
    "b": "Ьв8",
    "c": "сϲ",
    "d": "ԁđ",
    "e": "еε3є",
    "i": "іιıl1|!ⅼյ",
    "m": "мʍ",
    "n": "пηո",
    "o": "оο0օ",
    "p": "рρ",
    "r": "гᴦ",
    "s": "ѕ5$ꜱ",
    "t": "тτ7ŧ",
    "u": "υսц",
    "v": "ν",
    "w": "ѡ",
}
_TO_LATIN = str.maketrans(
    {other: latin for latin, others in _SAME_LOOK.items() for other in others}
)


def find_lookalike(name: str) -> str | None:
    """Return the built-in role that a slug or name looks like; None for the role's own slug."""
    if name in BUILT_IN:
        return None
    return _SKELETONS.get(_build_skeleton(name))


def reject_lookalikes(*, slug: str = "", name: str = "", tenant: str) -> None:
    """Raises `RoleBuiltIn` if the slug or the name looks like a built-in role."""
    for kind, text in (("Slug", slug), ("Name", name)):
        built_in = find_lookalike(text)
        if built_in is None and kind == "Name" and text in BUILT_IN:
            built_in = text
        if built_in is not None:
            raise RoleBuiltIn(
                f"{kind} {text!r} is reserved: it looks like the built-in role {built_in}.",
                fix=f"Choose another {kind.lower()}, or grant the built-in role: `scaiwave role "
                f"grant {built_in} --tenant {quote(tenant)} --to <who>`.",
            )


def _build_skeleton(name: str) -> str:
    """Return the letters that a reader sees: no case, accents, separators or foreign scripts."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    letters = decomposed.translate(_TO_LATIN).replace("rn", "m")
    # Letters of the category Lm look like accents.
    seen = (each for each in letters if each.isalnum() and unicodedata.category(each) != "Lm")
    return "".join(seen).translate(dict.fromkeys(map(ord, BLANKS)))


_SKELETONS = {
    _build_skeleton(text): slug for slug, name in BUILT_IN.items() for text in (slug, name)
}
