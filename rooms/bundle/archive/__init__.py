"""ZIP archives, read more strictly and written more plainly than by the standard library."""
