"""Types of ScaiKey's records and list envelopes (ScaiKey docs, reference/admin-api).

Unknown fields are ignored and missing ones tolerated, since only partners and tenants are
documented field by field. On the wire null means the same as a missing field; once a record
exists, its texts are `str` and never None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import msgspec

MAX_ID_CHARS = 200
"""Length of the database columns; ScaiKey's own ids have about 20 characters."""

DELETED = "DELETED"

# assumption: the words for memberships that only follow from a nested group.
INDIRECT_TYPES = frozenset({"INDIRECT", "NESTED", "INHERITED", "TRANSITIVE"})

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""C0, DEL, C1 and lone surrogates: no name has them, and no database stores all of them."""

if TYPE_CHECKING:
    Text = str
    Id = str
    Int64 = int
else:
    Text = str | None
    Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
    Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class ScaiKeyRecord(msgspec.Struct, kw_only=True, gc=False):
    """Base of all records: a text that is null becomes the empty string."""

    def __post_init__(self) -> None:
        names, get_texts = _TEXT_FIELDS[type(self)]
        if None in get_texts(self):
            for name in names:
                if getattr(self, name) is None:
                    setattr(self, name, "")

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies this record within its collection."""
        raise NotImplementedError

    def strip_control_characters(self) -> None:
        """Remove control characters from every text. Raises ValueError if an id has any."""
        if any(map(CONTROL_CHARACTERS.search, self.key)):
            raise ValueError("An id has control characters")
        for name in _TEXT_FIELDS[type(self)][0]:
            setattr(self, name, CONTROL_CHARACTERS.sub("", getattr(self, name)))


class BaseRecord(ScaiKeyRecord, kw_only=True, gc=False):
    """A record with a status. assumption: a deleted one may have it in one of two other fields."""

    id: Id
    status: Text = ""
    deleted_at: object = None
    is_deleted: object = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.status = self.status.strip().upper()
        if self.deleted_at or self.is_deleted is True:
            self.status = DELETED

    @property
    def key(self) -> tuple[str, ...]:
        return (self.id,)


class PartnerRecord(BaseRecord, kw_only=True, gc=False):
    name: Text = ""
    slug: Text = ""
    contact_email: Text = ""
    max_tenants: Int64 | None = None
    max_users_per_tenant: Int64 | None = None
    max_applications_per_tenant: Int64 | None = None


class ScaiKeyTenantRecord(BaseRecord, kw_only=True, gc=False):
    name: Text = ""
    slug: Text = ""
    contact_email: Text = ""
    partner_id: Text = ""


class RecordRef(msgspec.Struct, gc=False):
    """A nested record. Only its ID is used."""

    id: Text = ""


class TenantScopedRecord(BaseRecord, kw_only=True, gc=False):
    """A record of one tenant, which is named by `tenant_id` or by a nested `tenant`."""

    tenant_id: Text = ""
    tenant: RecordRef | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tenant is not None:
            self.tenant_id = self.tenant_id or self.tenant.id or ""
            self.tenant = None


class UserRecord(TenantScopedRecord, kw_only=True, gc=False):
    email: Text = ""
    first_name: Text = ""
    last_name: Text = ""
    display_name: Text = ""
    mfa_enabled: bool | None = None
    avatar_url: Text = ""  # assumption: the name of this field is not documented
    roles: Any = None
    """Slugs of roles as a tuple of texts, or None if ScaiKey reports none. The field is an
    assumption, so no value makes a record malformed: anything but a text or an object with a `slug`
    or `name` is ignored, and a value with nothing else counts as not reported."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.roles is not None:
            self.roles = parse_role_names(self.roles) or (() if self.roles == [] else None)


class GroupRecord(TenantScopedRecord, kw_only=True, gc=False):
    name: Text = ""
    description: Text = ""
    group_type: Text = ""


class MemberRecord(ScaiKeyRecord, kw_only=True, gc=False):
    """A member of a group: a person (`user_id`) or another group (`member_group_id`).

    How a nested group is written in the list of members is not documented. assumption:
    `member_group_id`, or `group_id`, or an `id` next to a `type` (or `member_type`) that says
    GROUP; `user_id` wins over all of them, since `group_id` may name the group being listed.
    """

    user_id: Text = ""
    user: RecordRef | None = None
    member_group_id: Text = ""
    group_id: Text = ""
    id: Text = ""
    type: Text = ""
    member_type: Text = ""
    membership_type: Text = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.membership_type = self.membership_type.strip().upper()
        if not self.user_id:
            member_type = (self.member_type or self.type).strip().upper()
            if self.user is not None and self.user.id:
                self.user_id = self.user.id
            elif member_type == "USER":
                self.user_id = self.id
            elif member_type == "GROUP":
                self.member_group_id = self.member_group_id or self.id or self.group_id
            else:
                self.member_group_id = self.member_group_id or self.group_id
        if not self.user_id and not self.member_group_id:
            raise ValueError("The user or group has no id")
        if max(len(self.user_id), len(self.member_group_id)) > MAX_ID_CHARS:
            raise ValueError(f"An id has more than {MAX_ID_CHARS} characters")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.user_id, self.member_group_id)

    @property
    def is_direct(self) -> bool:
        """False for a membership that only follows from a nested group."""
        return self.membership_type not in INDIRECT_TYPES


_TEXT_FIELDS: dict[
    type[ScaiKeyRecord], tuple[tuple[str, ...], Callable[[ScaiKeyRecord], tuple[str | None, ...]]]
] = {
    kind: (names, attrgetter(*names))
    for kind in (PartnerRecord, ScaiKeyTenantRecord, UserRecord, GroupRecord, MemberRecord)
    for names in [tuple(each.name for each in msgspec.structs.fields(kind) if each.default == "")]
}


def parse_role_names(value: object) -> tuple[str, ...]:
    """Return the slugs or names in a claim or field with one role or several."""
    items = value if isinstance(value, list) else [value]
    names = [
        item.get("slug") or item.get("name") if isinstance(item, dict) else item for item in items
    ]
    return tuple(name for name in names if isinstance(name, str) and name)


AnyRecord = TypeVar("AnyRecord", bound=ScaiKeyRecord)

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class PageTotals(msgspec.Struct, kw_only=True):
    """The totals of a list. assumption: any of these names, in any of three places."""

    total: Count | None = None
    total_count: Count | None = None
    total_items: Count | None = None
    pages: Count | None = None
    total_pages: Count | None = None
    page_count: Count | None = None

    def get_total_rows(self) -> int | None:
        return _get_first(self.total, self.total_count, self.total_items)

    def get_total_pages(self) -> int | None:
        return _get_first(self.pages, self.total_pages, self.page_count)


class PageEnvelope(PageTotals, Generic[AnyRecord], kw_only=True):
    """A list in an object. assumption: the envelope has the names that related products use."""

    data: list[AnyRecord] | None = None
    items: list[AnyRecord] | None = None
    meta: PageTotals | None = None
    pagination: PageTotals | None = None
    error: object = None
    errors: object = None

    def records(self) -> list[AnyRecord] | None:
        return self.items if self.data is None else self.data

    def totals(self) -> list[PageTotals]:
        return [totals for totals in (self, self.meta, self.pagination) if totals is not None]


def _get_first(*numbers: int | None) -> int | None:
    return next((number for number in numbers if number is not None), None)
