"""The names of the values that sessions contain."""

OPERATOR_KEY, SIGN_IN_KEY = "scaikey_operator", "signed_in"
"""The operator of a sign-in with ScaiKey, and when and where a session began."""
