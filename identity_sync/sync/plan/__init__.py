"""Compare the staged records with the rows, and name every change."""
