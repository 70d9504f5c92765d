"""The room bundle as a file (docs: the room bundle, version 1); knows no database."""
