"""ScaiKey's records and list envelopes, typed where they enter (ScaiKey docs, reference/admin-api).

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
"""What our columns hold; ScaiKey's own ids have about 20 characters."""

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""C0, DEL and C1, and half surrogate pairs: no name has them, and no database stores them all."""

if TYPE_CHECKING:
    Text = str
    Id = str
    Whole = int
else:
    Text = str | None
    Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
    Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class ScaiKeyRecord(msgspec.Struct, kw_only=True, gc=False):
    """What all rows share: where a text is null, it becomes the empty string."""

    def __post_init__(self) -> None:
        names, texts = _TEXTS[type(self)]
        if None in texts(self):
            for name in names:
                if getattr(self, name) is None:
                    setattr(self, name, "")

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this record from the others of its collection."""
        raise NotImplementedError

    def drop_control_characters(self) -> None:
        """Remove control characters from every text. Raises ValueError for an id that has some."""
        if any(map(CONTROL_CHARACTERS.search, self.key)):
            raise ValueError("An id has control characters")
        for name in _TEXTS[type(self)][0]:
            setattr(self, name, CONTROL_CHARACTERS.sub("", getattr(self, name)))


class BaseRecord(ScaiKeyRecord, kw_only=True, gc=False):
    id: Id
    status: Text = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.status = self.status.strip().upper()

    @property
    def key(self) -> tuple[str, ...]:
        return (self.id,)


class PartnerRecord(BaseRecord, kw_only=True, gc=False):
    name: Text = ""
    slug: Text = ""
    contact_email: Text = ""
    max_tenants: Whole | None = None
    max_users_per_tenant: Whole | None = None
    max_applications_per_tenant: Whole | None = None


class ScaiKeyTenantRecord(BaseRecord, kw_only=True, gc=False):
    name: Text = ""
    slug: Text = ""
    contact_email: Text = ""
    partner_id: Text = ""


class RecordRef(msgspec.Struct, gc=False):
    """A nested record, of which only the id matters here."""

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
    """Slugs of roles, as a tuple of texts; None where nothing is told of them. The field is an
    assumption, so that no shape of it makes a row malformed: what is not a text, or an object with
    a `slug` or a `name`, is left out, and if that is all there is, nothing is told."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.roles is not None:
            self.roles = role_names(self.roles) or (() if self.roles == [] else None)


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
            self._resolve()
        if not self.user_id and not self.member_group_id:
            raise ValueError("Neither a user nor a group is named")
        if max(len(self.user_id), len(self.member_group_id)) > MAX_ID_CHARS:
            raise ValueError(f"An id has more than {MAX_ID_CHARS} characters")

    def _resolve(self) -> None:
        kind = (self.member_type or self.type).strip().upper()
        if self.user is not None and self.user.id:
            self.user_id = self.user.id
        elif kind == "USER":
            self.user_id = self.id
        elif kind == "GROUP":
            self.member_group_id = self.member_group_id or self.id or self.group_id
        else:
            self.member_group_id = self.member_group_id or self.group_id

    @property
    def key(self) -> tuple[str, ...]:
        return (self.user_id, self.member_group_id)

    @property
    def direct(self) -> bool:
        """False for a membership that only follows from a nested group."""
        return self.membership_type in {"", "DIRECT"}


def _texts(
    kind: type[ScaiKeyRecord],
) -> tuple[tuple[str, ...], Callable[[ScaiKeyRecord], tuple[str | None, ...]]]:
    fields = [field.name for field in msgspec.structs.fields(kind) if field.default == ""]
    return tuple(fields), attrgetter(*fields)


_TEXTS: dict[
    type[ScaiKeyRecord], tuple[tuple[str, ...], Callable[[ScaiKeyRecord], tuple[str | None, ...]]]
] = {
    kind: _texts(kind)
    for kind in (PartnerRecord, ScaiKeyTenantRecord, UserRecord, GroupRecord, MemberRecord)
}


def role_names(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    names = [
        item.get("slug") or item.get("name") if isinstance(item, dict) else item for item in items
    ]
    return tuple(name for name in names if isinstance(name, str) and name)


AnyRecord = TypeVar("AnyRecord", bound=ScaiKeyRecord)

Figure = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class PageTotals(msgspec.Struct, kw_only=True):
    """Where a list says how long it is. assumption: any of these names, at any of three places."""

    total: Figure | None = None
    total_count: Figure | None = None
    total_items: Figure | None = None
    pages: Figure | None = None
    total_pages: Figure | None = None
    page_count: Figure | None = None

    def reported_rows(self) -> int | None:
        return _first(self.total, self.total_count, self.total_items)

    def reported_pages(self) -> int | None:
        return _first(self.pages, self.total_pages, self.page_count)


class PageEnvelope(PageTotals, Generic[AnyRecord], kw_only=True):
    """A list in an object. assumption: the envelope is not documented; its siblings use these."""

    data: list[AnyRecord] | None = None
    items: list[AnyRecord] | None = None
    meta: PageTotals | None = None
    pagination: PageTotals | None = None

    def records(self) -> list[AnyRecord] | None:
        return self.items if self.data is None else self.data

    def places(self) -> list[PageTotals]:
        return [place for place in (self, self.meta, self.pagination) if place is not None]


def _first(*figures: int | None) -> int | None:
    return next((figure for figure in figures if figure is not None), None)
