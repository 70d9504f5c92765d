"""What rooms have of one person: exported for that person, or erased."""
