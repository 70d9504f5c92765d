"""Django's backend for SQLite, whose transactions get their turn beside a busy writer."""
