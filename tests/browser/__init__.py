"""Tests of the admin site in a real browser."""
