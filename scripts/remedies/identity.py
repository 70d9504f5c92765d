"""Registration with ScaiKey, and the sync."""

_BEGIN_AGAIN = "Run `scaiwave sync register --restart`."

REMEDIES: dict[str, tuple[str, str]] = {
    "SW_CREDENTIALS_LOST": (
        "ScaiKey hands out the credentials of a registration once, and they are not here.",
        "Look where they were fetched to; else remove the application in ScaiKey and run "
        "`scaiwave sync register --restart`.",
    ),
    "SW_CREDENTIALS_NOT_INSTALLED": (
        "The credentials came and are safe in the home; the configuration file could not be "
        "written.",
        "Mend what the error names, then run `scaiwave sync register` again: it goes on there.",
    ),
    "SW_CREDENTIALS_RESCUED": (
        "The credentials came, and could only be put where the error says.",
        "Move those lines into the configuration file, then run `scaiwave sync register "
        "--restart`. ScaiKey does not hand them out again.",
    ),
    "SW_REGISTRATION_BAD_ANSWER": (
        "An answer to a question of `sync register`, or its flag, can't be used.",
        "Give it as the error says.",
    ),
    "SW_REGISTRATION_BUSY": (
        "Another `scaiwave sync register` is running in this home.",
        "Let it finish, or stop it; what it has begun is not lost.",
    ),
    "SW_REGISTRATION_CONFLICT": (
        "This server is registered already, or a request is under way elsewhere or decided.",
        "The error says which, and the flag: `--force` replaces credentials, `--restart` gives a "
        "request up.",
    ),
    "SW_REGISTRATION_INSECURE_ADDRESS": (
        "ScaiKey's address begins with http://, and the client secret would travel over it.",
        "Use https://, or pass `--allow-http` if you trust the network between.",
    ),
    "SW_REGISTRATION_NOT_FOUND": (
        "There is no pending request in this home to cancel.",
        "`scaiwave sync status` shows the last one.",
    ),
    "SW_REGISTRATION_OVER": ("ScaiKey has cancelled the request, or let it expire.", _BEGIN_AGAIN),
    "SW_REGISTRATION_PENDING": (
        "Nobody has decided on the request yet.",
        "Approve it in ScaiKey, then run `scaiwave sync register` again: it goes on with it.",
    ),
    "SW_REGISTRATION_RECEIPT_UNREADABLE": (
        "The file that remembers the pending request is damaged, or belongs to another user.",
        "Run as the user who registered, or drop it with `scaiwave sync register --restart`.",
    ),
    "SW_REGISTRATION_REJECTED": (
        "ScaiKey's administrators said no; the error has their reason.",
        "Settle that with them, then run `scaiwave sync register --restart`.",
    ),
    "SW_SYNC_NOT_REGISTERED": ("There are no credentials for ScaiKey in the configuration.", ""),
}
