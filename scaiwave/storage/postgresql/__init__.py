"""Django's backend for PostgreSQL, which finds out about commits whose response was lost."""
