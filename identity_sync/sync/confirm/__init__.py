"""Look every claimed loss of access up by ID, or by a second list."""
