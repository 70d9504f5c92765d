"""The full-text part of the index, which Django's models can't describe.

PostgreSQL has a generated column of lexemes. SQLite has a table of FTS5 whose content is that of
the documents, kept by triggers, so that it is right whoever writes or deletes there. Triggers are
gone whenever a migration rebuilds their table, hence `ensure_full_text` after every migrate.

The index of the lexemes is made after the first backfill: to keep it while a million rows come in
takes twice as long (`scripts/bench search`).
"""

from __future__ import annotations

from typing import Any

from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "sw_search_documents"
WORDS = "sw_search_words"
GIN = "sw_search_documents_words"

# Between words. The parser of PostgreSQL would take a path, an address or a hyphenated word for
# one word, and FTS5 would not; so it gets to see no punctuation.
SEPARATORS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»“”„‘’‚–—…¡¿·、。「」『』，．！？：；"
_FOLDED = (
    "CASE WHEN octet_length(body) = char_length(body) THEN body "
    "ELSE regexp_replace(normalize(body, NFD), '[\\u0300-\\u036f]', '', 'g') END"
)
# translate() would take longer than everything else: it compares each character with each of these.
_CLASS = "".join(f"\\{char}" for char in SEPARATORS).replace("'", "''")
LEXEMES = f"to_tsvector('simple', regexp_replace({_FOLDED}, '[{_CLASS}]', ' ', 'g'))"

TOKENIZER = "unicode61 remove_diacritics 2"
_FTS5 = (
    f"CREATE VIRTUAL TABLE {WORDS} USING fts5("
    f"body, content='{TABLE}', content_rowid='id', tokenize='{TOKENIZER}')"
)
_ADD = f"INSERT INTO {WORDS} (rowid, body) VALUES (new.id, new.body);"  # noqa: S608
_TAKE = (
    f"INSERT INTO {WORDS} ({WORDS}, rowid, body) "  # noqa: S608
    "VALUES ('delete', old.id, old.body);"
)
_REBUILD = f"INSERT INTO {WORDS} ({WORDS}) VALUES ('rebuild')"  # noqa: S608
_TRIGGERS = {
    "add": f"AFTER INSERT ON {TABLE} BEGIN {_ADD} END",
    "take": f"AFTER DELETE ON {TABLE} BEGIN {_TAKE} END",
    "change": f"AFTER UPDATE OF body ON {TABLE} BEGIN {_TAKE} {_ADD} END",
}


def add_full_text(apps: Any, schema_editor: Any) -> None:
    """For the migration."""
    if schema_editor.connection.vendor == "postgresql":
        _run(
            schema_editor.connection,
            f"ALTER TABLE {TABLE} ADD COLUMN words tsvector GENERATED ALWAYS AS ({LEXEMES}) STORED",
        )


def drop_full_text(apps: Any, schema_editor: Any) -> None:
    """The column, its index and the triggers go with the table."""
    if schema_editor.connection.vendor == "sqlite":
        _run(schema_editor.connection, f"DROP TABLE IF EXISTS {WORDS}")


def ensure_full_text(using: str = "default", **of_the_signal: Any) -> None:
    """Make what SQLite lacks. For `post_migrate`, hence the further arguments.

    Does nothing where the migrations have not come as far as the documents, or went back.
    """
    to = connections[using]
    if to.vendor != "sqlite" or TABLE not in to.introspection.table_names():
        return
    lacking = {"table": WORDS} | {f"trigger {name}": f"{WORDS}_{name}" for name in _TRIGGERS}
    with to.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM sqlite_master "
            "WHERE name = %s OR (type = 'trigger' AND tbl_name = %s)",
            [WORDS, TABLE],
        )
        there = {name for (name,) in cursor.fetchall()}
    if there >= set(lacking.values()):
        return
    _make(to, there)


def _make(to: BaseDatabaseWrapper, there: set[str]) -> None:
    """What was written while a trigger was missing is found in the documents again."""
    if WORDS not in there:
        _run(to, _FTS5)
    for name, does in _TRIGGERS.items():
        _run(to, f"CREATE TRIGGER IF NOT EXISTS {WORDS}_{name} {does}")
    _run(to, _REBUILD)


def has_word_index() -> bool:
    """Whether searching needs to read no more than what is found."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [GIN])
        return bool(cursor.fetchone()[0])


def complete_full_text() -> None:
    """See to it that every document is found by its words, and quickly."""
    if connection.vendor == "postgresql":
        _make_word_index()
    else:
        _mend_words()


def _make_word_index() -> None:
    """Unless it is there. Those who search go on; those who write wait, as do others who come
    here, since two can't make it at once."""
    if has_word_index():
        return
    with transaction.atomic():
        _run(connection, f"LOCK TABLE {TABLE} IN SHARE ROW EXCLUSIVE MODE")
        if has_word_index():
            return
        _run(connection, f"CREATE INDEX {GIN} ON {TABLE} USING gin (words)")
    _run(connection, f"ANALYZE {TABLE}")


def _mend_words() -> None:
    """FTS5 keeps the size of each document it knows; whoever writes without the triggers leaves
    it with other ones."""
    ensure_full_text(connection.alias)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT count(*) FROM {TABLE}) = (SELECT count(*) FROM {WORDS}_docsize)"  # noqa: S608
        )
        if not cursor.fetchone()[0]:
            _run(connection, _REBUILD)


def _run(to: Any, sql: str) -> None:
    with to.cursor() as cursor:
        cursor.execute(sql)
