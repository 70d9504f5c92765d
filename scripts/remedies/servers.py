"""Other servers: ScaiKey, ScaiGrid, ScaiCMS and peers; keys, the sandbox, and defects."""

REMEDIES: dict[str, tuple[str, str]] = {
    "SW_DOCS_BAD_PAGE": (
        "A page has a wrong front matter, heading or encoding.",
        "Mend it as the error says. [Page format](page-format.md#front-matter).",
    ),
    "SW_DOCS_DEAD_LINK": (
        "A link leads to a page, a file or an anchor that does not exist.",
        "Mend the link in the line that the error names.",
    ),
    "SW_DOCS_FAILED": ("Some pages could not be published; the others were.", ""),
    "SW_DOCS_NOT_GONE": (
        "",
        "Nothing was written. Run it without `--prune` to see which are gone.",
    ),
    "SW_DOCS_NO_PAGES": (
        "There is no page in the folder.",
        "Name the folder of the pages with `--docs`.",
    ),
    "SW_INTERNAL": (
        "A defect of this suite: nobody should have to see it.",
        "[Report it](#when-it-is-a-defect).",
    ),
    "SW_SANDBOX_FOREIGN_STATE": (
        "",
        "Start it with the options that the error names, with another `--state-dir`, or remove "
        "the file.",
    ),
    "SW_SANDBOX_INVALID_MUTATION": (
        "The sandbox was asked for a change that it can't make.",
        "The error names those it can.",
    ),
    "SW_SANDBOX_PORT_BUSY": (
        "Something listens at the sandbox's port already.",
        "Choose another with `--port`, or stop what listens there.",
    ),
    "SW_UPSTREAM_CONFLICT": (
        "The other server has something already that conflicts with the request.",
        "Look at what is there, and decide which of the two is right.",
    ),
    "SW_UPSTREAM_CREDENTIALS_REFUSED": (
        "The other server does not accept our credentials (401).",
        "Check the client id and secret, or the key, that the error names; for ScaiKey also that "
        "the application may use client credentials.",
    ),
    "SW_UPSTREAM_FORBIDDEN": (
        "The other server knows us and does not allow the call (403). A sync changed nothing.",
        "Ask who runs it for the permission.",
    ),
    "SW_UPSTREAM_NONSENSE": (
        "The answer is not what that server documents. A sync changed nothing.",
        "Check that the setting of its address is right; if it is, report it to who runs it.",
    ),
    "SW_UPSTREAM_NOT_FOUND": ("", "Check the id or the name, and the address of that server."),
    "SW_UPSTREAM_REDIRECT": (
        "",
        "Set the setting that the error names to the address where the server itself answers.",
    ),
    "SW_UPSTREAM_REJECTED": (
        "The other server finds the request wrong (4xx).",
        "Correct what the error names, then try again.",
    ),
    "SW_UPSTREAM_TOO_LARGE": (
        "The answer is far larger than any right one.",
        "Check that the setting of its address is right.",
    ),
    "SW_UPSTREAM_UNAVAILABLE": (
        "The server answered 5xx, or 429, for longer than we are patient.",
        "Wait, look at that server's log, then run the same command again.",
    ),
    "SW_UPSTREAM_UNREACHABLE": (
        "No answer came: name, TLS, connection or time-out.",
        "The error says which. Check the address, DNS, firewall and certificates from here.",
    ),
}
