"""manifest.json: its structures, and how it is read and validated in one pass."""
