"""The HTTP API."""

_CURL = "Call it as [the page of the HTTP API](http-api.md) says."

REMEDIES: dict[str, tuple[str, str]] = {
    "SW_METHOD_NOT_ALLOWED": ("This address does not take this method; see `Allow`.", _CURL),
    "SW_NOT_FOUND": ("There is no such address below `/v1/`.", _CURL),
    "SW_REQUEST_INVALID": ("", _CURL),
    "SW_REQUEST_LENGTH_REQUIRED": ("An upload without a `Content-Length`.", _CURL),
}
