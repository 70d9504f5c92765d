"""What can go wrong while this server registers with ScaiKey.

UsageError (2)
└── BadAnswer                an answer that can't be sent
ConfigurationError (2)
├── FileUnwritable           a file of this server can't be written
├── ValueUnwritable          a value that a configuration file can't hold
├── ReceiptUnreadable        what the home keeps of a registration makes no sense
├── CredentialsInReceipt     fetched and kept in the home, not yet in the configuration file
├── CredentialsRescued       fetched and kept elsewhere, as the home can't be written
└── CredentialsLost          fetched or handed out before, and in nobody's hands
RefusedError (1)
├── InsecureAddress          secrets would travel unencrypted
├── RegistrationRejected     ScaiKey's people said no
└── RegistrationOver         cancelled or expired
ConflictError (1)
├── RegistrationBusy         another `sync register` is at it
├── RegistrationConflict     something else is registered or pending
└── StillPending             nobody has decided within the time given
NotFoundError (1)
└── NothingPending           there is no request to cancel
"""

from __future__ import annotations

from scaiwave.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UsageError,
)


class BadAnswer(UsageError):
    code = "SW_REGISTRATION_BAD_ANSWER"


class FileUnwritable(ConfigurationError):
    code = "SW_FILE_UNWRITABLE"


class ValueUnwritable(ConfigurationError):
    code = "SW_VALUE_UNWRITABLE"


class ReceiptUnreadable(ConfigurationError):
    code = "SW_REGISTRATION_RECEIPT_UNREADABLE"


class CredentialsInReceipt(ConfigurationError):
    code = "SW_CREDENTIALS_NOT_INSTALLED"


class CredentialsRescued(ConfigurationError):
    code = "SW_CREDENTIALS_RESCUED"


class CredentialsLost(ConfigurationError):
    code = "SW_CREDENTIALS_LOST"


class InsecureAddress(RefusedError):
    code = "SW_REGISTRATION_INSECURE_ADDRESS"


class RegistrationRejected(RefusedError):
    code = "SW_REGISTRATION_REJECTED"


class RegistrationOver(RefusedError):
    code = "SW_REGISTRATION_OVER"


class RegistrationBusy(ConflictError):
    code = "SW_REGISTRATION_BUSY"


class RegistrationConflict(ConflictError):
    code = "SW_REGISTRATION_CONFLICT"


class StillPending(ConflictError):
    code = "SW_REGISTRATION_PENDING"


class NothingPending(NotFoundError):
    code = "SW_REGISTRATION_NOT_FOUND"
