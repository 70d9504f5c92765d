"""The full-text part of the index, which Django's models can't describe.

PostgreSQL has a generated column of lexemes. SQLite has an external-content FTS5 table over the
documents, maintained by triggers, so that it stays correct whichever program writes the documents.
SQLite drops triggers when a migration rebuilds their table; `ensure_full_text` therefore runs
after every `migrate`.

The GIN index on the lexemes is only built after the first backfill: maintaining it during a
million inserts takes twice as long (`scripts/bench search`).
"""

from __future__ import annotations

from typing import Any

from django.db import connection, connections, transaction

from scaiwave.core.sql import fetch_one

TABLE = "sw_search_documents"
WORDS = "sw_search_words"
GIN = "sw_search_documents_words"

# Characters between words. PostgreSQL's parser takes a path, an address or a hyphenated word for
# one word where FTS5 does not, so punctuation is removed before it parses.
SEPARATORS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»“”„‘’‚–—…¡¿·、。「」『』，．！？：；"
_FOLDED_BODY = (
    "CASE WHEN octet_length(body) = char_length(body) THEN body "
    "ELSE regexp_replace(normalize(body, NFD), '[\\u0300-\\u036f]', '', 'g') END"
)
# A character class, because translate() compares each character with each separator and would
# take longer than all the rest.
_SEPARATOR_CLASS = "".join(f"\\{char}" for char in SEPARATORS).replace("'", "''")
LEXEMES = f"to_tsvector('simple', regexp_replace({_FOLDED_BODY}, '[{_SEPARATOR_CLASS}]', ' ', 'g'))"

PAGES_PER_MERGE = 100
TOKENIZER = "unicode61 remove_diacritics 2"
_CREATE_FTS5 = (
    f"CREATE VIRTUAL TABLE {WORDS} USING fts5("
    f"body, content='{TABLE}', content_rowid='id', tokenize='{TOKENIZER}')"
)
_INSERT_WORDS = f"INSERT INTO {WORDS} (rowid, body) VALUES (new.id, new.body);"
_DELETE_WORDS = f"INSERT INTO {WORDS} ({WORDS}, rowid, body) VALUES ('delete', old.id, old.body);"
_REBUILD_WORDS = f"INSERT INTO {WORDS} ({WORDS}) VALUES ('rebuild')"
_TRIGGERS = {
    "add": f"AFTER INSERT ON {TABLE} BEGIN {_INSERT_WORDS} END",
    "take": f"AFTER DELETE ON {TABLE} BEGIN {_DELETE_WORDS} END",
    "change": f"AFTER UPDATE OF body ON {TABLE} BEGIN {_DELETE_WORDS} {_INSERT_WORDS} END",
}


def add_full_text(apps: Any, schema_editor: Any) -> None:
    """Add the column of lexemes. Called by the migration."""
    if schema_editor.connection.vendor == "postgresql":
        _execute(
            schema_editor.connection,
            f"ALTER TABLE {TABLE} ADD COLUMN words tsvector GENERATED ALWAYS AS ({LEXEMES}) STORED",
        )


def drop_full_text(apps: Any, schema_editor: Any) -> None:
    """Drop the FTS5 table; the column, its index and the triggers are dropped with the table."""
    if schema_editor.connection.vendor == "sqlite":
        _execute(schema_editor.connection, f"DROP TABLE IF EXISTS {WORDS}")


def ensure_full_text(using: str = "default", **signal_arguments: Any) -> None:
    """Create SQLite's FTS5 table and triggers where missing. A receiver of `post_migrate`.

    Does nothing if the table of documents does not exist at this point of the migrations.
    """
    database = connections[using]
    if database.vendor != "sqlite" or TABLE not in database.introspection.table_names():
        return
    required = {WORDS, *(f"{WORDS}_{name}" for name in _TRIGGERS)}
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM sqlite_master "
            "WHERE name = %s OR (type = 'trigger' AND tbl_name = %s)",
            [WORDS, TABLE],
        )
        existing = {name for (name,) in cursor.fetchall()}
    if not existing >= required:
        if WORDS not in existing:
            _execute(database, _CREATE_FTS5)
        for name, definition in _TRIGGERS.items():
            _execute(database, f"CREATE TRIGGER IF NOT EXISTS {WORDS}_{name} {definition}")
        _execute(database, _REBUILD_WORDS)  # for documents written without a trigger


def has_word_index() -> bool:
    """Whether a search can use an index instead of reading every document."""
    if connection.vendor != "postgresql":
        return True
    return bool(fetch_one("SELECT to_regclass(%s) IS NOT NULL", [GIN])[0])


def complete_full_text() -> None:
    """Ensure that every document can be found by its words, through an index."""
    if connection.vendor == "postgresql":
        _create_word_index()
    else:
        # Rebuild the FTS5 table if it has another number of documents than the table. It keeps one
        # size per indexed document, so this shows whether a program wrote without the triggers.
        ensure_full_text(connection.alias)
        (is_complete,) = fetch_one(
            f"SELECT (SELECT count(*) FROM {TABLE}) = (SELECT count(*) FROM {WORDS}_docsize)"
        )
        if not is_complete:
            _execute(connection, _REBUILD_WORDS)


def merge_words(*, is_first: bool) -> bool:
    """Merge some pages of FTS5's files, and return whether there are more; `is_first` begins.

    FTS5 only marks the words of deleted documents, and keeps them until it merges its parts (SQLite
    docs, FTS5, "The 'merge' Command"). PostgreSQL's VACUUM removes its deleted rows.
    """
    if connection.vendor != "sqlite":
        return False
    before = int(fetch_one("SELECT total_changes()")[0])
    pages = -PAGES_PER_MERGE if is_first else PAGES_PER_MERGE
    _execute(connection, f"INSERT INTO {WORDS} ({WORDS}, rank) VALUES ('merge', {pages})")
    return int(fetch_one("SELECT total_changes()")[0]) > before + 1


def _create_word_index() -> None:
    """Create the GIN index unless it exists.

    Readers continue; writers wait, as do other processes that get here at the same time.
    """
    if has_word_index():
        return
    with transaction.atomic():
        _execute(connection, f"LOCK TABLE {TABLE} IN SHARE ROW EXCLUSIVE MODE")
        if has_word_index():
            return
        _execute(connection, f"CREATE INDEX {GIN} ON {TABLE} USING gin (words)")
    _execute(connection, f"ANALYZE {TABLE}")


def _execute(database: Any, sql: str) -> None:
    with database.cursor() as cursor:
        cursor.execute(sql)
