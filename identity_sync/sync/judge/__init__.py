"""Decide which losses of access may be applied, and which wait."""
