"""A sync never removes what still exists, however ScaiKey's lists misbehave.

The state of ScaiKey and of the database is a set of facts each. A fact that was true in the
database before a run, and true in ScaiKey during the whole run, is true in the database afterwards.
After a run without misbehaviour both sets are equal.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from django.db import transaction
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError
from tests.identity_sync.scripted_scaikey.assertions import (
    assert_nothing_lost,
    collect_access,
    collect_local_facts,
    find_people_who_lost,
    format_facts,
)
from tests.identity_sync.scripted_scaikey.directory import RemoteDirectory, Size
from tests.identity_sync.scripted_scaikey.helpers import (
    CHANGE_NAMES,
    EVERYTHING,
    PHASES,
    PLAIN_SCRIPT,
    UNCHECKED,
    serve_scripted_scaikey,
)
from tests.identity_sync.scripted_scaikey.records import COLLECTIONS, Fact
from tests.identity_sync.scripted_scaikey.script import (
    CURSORS,
    ENVELOPES,
    ORDERS,
    REPEATS,
    REPLICAS,
    TOTAL_PLACES,
    TOTALS,
    CompactRepr,
    DirectoryChange,
    ListBehaviour,
    Script,
)
from tests.identity_sync.scripted_scaikey.server import ScriptedScaiKey
from tests.identity_sync.sync.helpers import sync
from tests.tools import NIGHTLY

pytestmark = pytest.mark.django_db

SMALL_EXAMPLES, LARGE_EXAMPLES = (900, 100) if NIGHTLY else (5, 1)
MAX_PEOPLE = 6000 if NIGHTLY else 1200

# The default removal limit: a run may not exceed both.
LIMIT, SHARE = 20, 0.10


@dataclass(frozen=True, repr=False)
class Run(CompactRepr):
    """One sync: the changes before it, the script, and the removals that are allowed."""

    script: Script = PLAIN_SCRIPT
    before: tuple[DirectoryChange, ...] = ()
    allowed: int | None = None
    in_flight: int = 1


@dataclass(frozen=True, repr=False)
class Story(CompactRepr):
    """The directory at first, runs with problems, and the script of the runs without any."""

    size: Size
    runs: tuple[Run, ...]
    quiet: Script = PLAIN_SCRIPT


@pytest.fixture
def scaikey(settings: Settings) -> Iterator[ScriptedScaiKey]:
    with serve_scripted_scaikey(settings) as server:
        yield server


def run_sync_once(
    scaikey: ScriptedScaiKey, *, allowed: int | None, in_flight: int = 1
) -> ScaiWaveError | None:
    """Run a sync, and return the error that it ended with, if any.

    With one request in flight pages come in order, so that a failure is reproducible. `allowed` is
    the number of removals that are allowed; EVERYTHING also allows the loss of the last super
    admin.
    """

    def connect(config: Configuration) -> ScaiKeyClient:
        return ScaiKeyClient(
            scaikey.url,
            client_id=scaikey.client_id,
            client_secret=scaikey.client_secret,
            max_concurrent_requests=in_flight,
        )

    options: dict[str, Any] = {"connect": connect, "allow_removals": allowed}
    options["allow_no_super_admin"] = allowed == EVERYTHING
    try:
        sync(**options)
    except ScaiWaveError as error:
        return error
    return None


def assert_in_sync(scaikey: ScriptedScaiKey, script: Script) -> None:
    """Assert that a run without misbehaviour makes the database equal to ScaiKey."""
    scaikey.directory.update_replicas()
    scaikey.begin_run(script)
    error = run_sync_once(scaikey, allowed=EVERYTHING)
    assert error is None
    local, remote = collect_local_facts(), scaikey.directory.collect_facts()
    assert local == remote, (
        f"Only local: {format_facts(local - remote)}. Only remote: {format_facts(remote - local)}."
    )


def assert_story(scaikey: ScriptedScaiKey, story: Story) -> list[str]:
    """Run a story in a transaction that is rolled back; return how its runs ended."""
    endings = []
    with transaction.atomic():
        scaikey.load(RemoteDirectory(story.size))
        assert_in_sync(scaikey, story.quiet)
        for run in story.runs:
            scaikey.directory.update_replicas()
            transient: set[Fact] = set()  # A replica may still show these.
            for change in run.before:
                scaikey.directory.apply(change)
                transient |= scaikey.directory.collect_facts()
            before = collect_local_facts()
            scaikey.begin_run(run.script)
            error = run_sync_once(scaikey, allowed=run.allowed, in_flight=run.in_flight)
            endings.append(error.code if error else "success")
            assert_nothing_lost(scaikey, before, error, transient)
        assert_in_sync(scaikey, story.quiet)
        transaction.set_rollback(True)
    return endings


MAX_SUSPENDED = 3


def is_over_limit(lost: set[str], people: set[str]) -> bool:
    lost = lost & people
    return len(lost) > LIMIT and len(lost) > SHARE * len(people)


def list_formats() -> st.SearchStrategy[dict[str, Any]]:
    """Generate where a list has its rows and its total."""
    fields = {
        "total_position": st.sampled_from(TOTAL_PLACES),
        "envelope": st.sampled_from(ENVELOPES),
    }
    return st.fixed_dictionaries(fields)


def quirks(caps: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    """Generate one way in which a list misbehaves, as fields of `ListBehaviour`."""
    seed = st.integers(0, 99)
    return st.one_of(
        st.fixed_dictionaries(
            {
                "order": st.sampled_from(ORDERS[1:]),
                "step": st.integers(-20, 20),
                "continuing": st.booleans(),
                "seed": seed,
            }
        ),
        st.fixed_dictionaries(
            {
                "replicas": st.sampled_from(REPLICAS[1:]),
                "offset": st.sampled_from((9, 0, 1)),
                "lagging": st.booleans(),
                "seed": seed,
            }
        ),
        st.fixed_dictionaries({"repeat": st.sampled_from(REPEATS[1:]), "seed": seed}),
        st.fixed_dictionaries({"caps": st.lists(caps, min_size=2, max_size=3).map(tuple)}),
        st.fixed_dictionaries({"totals": st.sampled_from(TOTALS[1:]), "seed": seed}),
    )


@st.composite
def behaviours(draw: st.DrawFn, caps: st.SearchStrategy[int], max_quirks: int) -> ListBehaviour:
    """Generate how a list behaves."""
    fields = {"caps": (draw(caps),), **draw(list_formats())}
    for quirk in draw(st.lists(quirks(caps), max_size=max_quirks)):
        fields |= quirk
    return ListBehaviour(**fields)


@st.composite
def scripts(draw: st.DrawFn, caps: st.SearchStrategy[int], *, quiet: bool, many: int = 1) -> Script:
    max_quirks = 0 if quiet else 2
    large, small = (behaviours(sizes, max_quirks) for sizes in (caps, st.integers(1, 3)))
    interruption = st.tuples(
        st.sampled_from((*COLLECTIONS, "members", "items", "scim")),
        st.integers(1, 12),
        changes(many),
    )
    return Script(
        partners=draw(small),
        tenants=draw(small),
        users=draw(large),
        groups=draw(small),
        members=draw(st.lists(large, min_size=1, max_size=3).map(tuple)),
        interruptions=draw(st.lists(interruption, max_size=0 if quiet else 3).map(tuple)),
        strict_pages=draw(st.booleans()),
        without_discovery=draw(st.booleans()),
        token_with_claims=draw(st.booleans()),
        scim=draw(st.booleans()),
        scim_cursors=draw(st.sampled_from(CURSORS)),
    )


def changes(
    maximum: int, names: Sequence[str] = CHANGE_NAMES
) -> st.SearchStrategy[DirectoryChange]:
    number, seed = st.integers(1, maximum), st.integers(0, 99)
    return st.builds(DirectoryChange, name=st.sampled_from(names), number=number, seed=seed)


@st.composite
def stories(draw: st.DrawFn, *, large: bool) -> Story:
    caps = st.sampled_from((100, 50, 97)) if large else st.integers(3, 20)
    many = 700 if large else 5
    size = Size(
        seed=draw(st.integers(0, 999)),
        partners=draw(st.integers(1, 3)),
        tenants=draw(st.integers(1, 4)),
        people=draw(st.integers(300, MAX_PEOPLE) if large else st.integers(1, 60)),
        groups=draw(st.integers(0, 6)),
        members=draw(st.integers(0, 500) if large else st.integers(0, 30)),
    )
    runs = st.builds(
        Run,
        script=scripts(caps, quiet=False, many=many),
        before=st.lists(changes(many), max_size=3).map(tuple),
        allowed=st.sampled_from((None, EVERYTHING, 0, 10, 50, 300)),
        in_flight=st.sampled_from((1, 1, 4)),
    )
    return Story(
        size=size,
        runs=draw(st.lists(runs, min_size=1, max_size=2 if large else 3).map(tuple)),
        quiet=draw(scripts(caps, quiet=True)),
    )


def make_story(size: Size, *, before: tuple[DirectoryChange, ...] = (), **script: Any) -> Story:
    """Make a story with one run in which every removal is allowed."""
    return Story(size, (Run(Script(**script), before, allowed=EVERYTHING),))


SMALL_SIZE = Size(people=12, groups=1, members=12)
LARGE_SIZE = Size(people=3000 if NIGHTLY else 600, groups=1, members=20)
LEAVING = tuple(
    Story(
        Size(seed=seed, tenants=8, people=2000),
        (
            Run(
                Script(users=ListBehaviour(order="rotate", step=1)),
                (DirectoryChange("leave_tenant", 150, seed),),
                160,
            ),
        ),
    )
    for seed in ((0, 3, 7) if NIGHTLY else (0,))
)
"""Many people of one tenant are removed, and the list omits some others. Together they exceed what
is allowed, but not alone."""


def with_each_example(stories: tuple[Story, ...]) -> Callable[[Callable[..., None]], Any]:
    """Return a decorator that adds an example for each story."""
    return lambda test: functools.reduce(lambda added, story: example(story)(added), stories, test)


@settings(max_examples=SMALL_EXAMPLES, suppress_health_check=UNCHECKED, phases=PHASES)
@given(story=stories(large=False))
@example(make_story(SMALL_SIZE, members=(ListBehaviour(order="rotate", step=1, caps=(5,)),)))
@example(make_story(SMALL_SIZE, members=(ListBehaviour(order="jump", caps=(4,)),)))
@example(make_story(SMALL_SIZE, members=(ListBehaviour(order="reverse", caps=(5,)),)))
@example(make_story(SMALL_SIZE, members=(ListBehaviour(order="shuffle", caps=(5,)),)))
@example(make_story(SMALL_SIZE, members=(ListBehaviour(replicas="parity", caps=(4,)),)))
@example(
    make_story(SMALL_SIZE, members=(ListBehaviour(replicas="alternate", offset=0, caps=(5,)),))
)
@example(make_story(SMALL_SIZE, members=(ListBehaviour(repeat="instead"),)))
@example(
    make_story(
        SMALL_SIZE,
        before=(DirectoryChange("remove_members", 1, 1),),
        members=(ListBehaviour(replicas="parity", offset=1, lagging=True, caps=(4,)),),
    )
)
@example(make_story(SMALL_SIZE, members=(ListBehaviour(caps=(3, 5), totals="missing"),)))
@example(make_story(SMALL_SIZE, members=(ListBehaviour(caps=(5,), totals="low"),)))
@example(
    make_story(
        Size(people=1),
        before=(DirectoryChange("add_group"), DirectoryChange("soft_delete_groups")),
        groups=ListBehaviour(replicas="parity", lagging=True, caps=(1,)),
    )
)
def test_success_small_directories(scaikey: ScriptedScaiKey, story: Story) -> None:
    for ending in assert_story(scaikey, story):
        event(f"a run ended with {ending}")


@settings(max_examples=LARGE_EXAMPLES, suppress_health_check=UNCHECKED, phases=PHASES)
@given(story=stories(large=True))
@example(Story(LARGE_SIZE, (Run(Script(users=ListBehaviour(order="rotate", step=9))),)))
@example(Story(LARGE_SIZE, (Run(Script(users=ListBehaviour(totals="low"))),)))
@with_each_example(LEAVING)
@example(make_story(LARGE_SIZE, users=ListBehaviour(order="shuffle")))
@example(make_story(LARGE_SIZE, users=ListBehaviour(replicas="parity", offset=0)))
def test_success_large_directories(scaikey: ScriptedScaiKey, story: Story) -> None:
    for ending in assert_story(scaikey, story):
        event(f"a run ended with {ending}")


def test_success_changed_roles_of_two_people(scaikey: ScriptedScaiKey) -> None:
    """Both are looked up by id, in a different order than they are listed."""
    directory = RemoteDirectory(Size(people=3))
    directory.lists["users"].keys = ["usr_3", "usr_2", "usr_1"]
    for person, roles in (("usr_1", ["editors", "tenant_admin"]), ("usr_2", ["editors"])):
        directory.change("users", [person], roles=roles)
    scaikey.load(directory)
    assert_in_sync(scaikey, PLAIN_SCRIPT)
    directory.change("users", ["usr_1"], roles=[])
    directory.change("users", ["usr_2"], roles=["super_admin"])

    assert_in_sync(scaikey, PLAIN_SCRIPT)


REVERSIBLE = (
    "activate_partners",
    "activate_people",
    "activate_tenants",
    "change_roles",
    "hand_over_tenant",
    "move_people",
    "suspend_partners",
    "suspend_people",
    "suspend_tenants",
)


@settings(max_examples=SMALL_EXAMPLES, suppress_health_check=UNCHECKED, phases=PHASES)
@given(
    size=st.builds(
        Size,
        seed=st.integers(0, 999),
        partners=st.integers(1, 3),
        tenants=st.integers(1, 4),
        people=st.integers(1, 60),
    ),
    applied=st.lists(changes(10, REVERSIBLE), min_size=1, max_size=6),
    stale=st.lists(st.sampled_from(COLLECTIONS), min_size=1, unique=True),
    replicas=st.sampled_from(REPLICAS),
    allowed=st.sampled_from((None, EVERYTHING)),
)
def test_success_lists_with_old_rows(
    scaikey: ScriptedScaiKey,
    size: Size,
    applied: list[DirectoryChange],
    stale: list[str],
    replicas: str,
    allowed: int | None,
) -> None:
    """A list may show a row as it was before its last change; a look-up shows the present one."""
    behaviour = ListBehaviour(stale=True, replicas=replicas, caps=(7,))
    stale_lists: dict[str, Any] = dict.fromkeys(stale, behaviour)
    stale_script = Script(**stale_lists)
    runs = [Run(before=(change,), allowed=EVERYTHING) for change in applied]
    assert_story(scaikey, Story(size, (*runs, Run(stale_script, allowed=allowed))))


def _pick(random: Random, keys: Iterable[str], share: float) -> list[str]:
    candidates = sorted(keys)
    return random.sample(candidates, round(share * len(candidates)))


def _make_status_change(
    collection: str, *statuses: str
) -> Callable[[RemoteDirectory, Random, float], None]:
    def change(directory: RemoteDirectory, random: Random, share: float) -> None:
        picked = _pick(random, directory.lists[collection].rows, share)
        directory.change(collection, picked, status=random.choice(statuses))

    return change


def _make_removal(collection: str) -> Callable[[RemoteDirectory, Random, float], None]:
    def change(directory: RemoteDirectory, random: Random, share: float) -> None:
        picked = _pick(random, directory.lists[collection].rows, share)
        directory.remove(collection, picked, soft=random.random() < 0.5)

    return change


def _clear_roles(directory: RemoteDirectory, random: Random, share: float) -> None:
    directory.change("users", _pick(random, directory.lists["users"].rows, share), roles=[])


def _end_memberships(directory: RemoteDirectory, random: Random, share: float) -> None:
    directory.leave_groups(_pick(random, directory.lists["users"].rows, share))


def _move_people(directory: RemoteDirectory, random: Random, share: float) -> None:
    picked = _pick(random, directory.lists["users"].rows, share)
    if tenants := sorted(directory.lists["tenants"].rows):
        directory.leave_groups(set(picked))
        directory.change("users", picked, tenant_id=random.choice(tenants))


MASS_CHANGES: dict[str, Callable[[RemoteDirectory, Random, float], None]] = {
    "people get a status": _make_status_change("users", "ENABLED", "SUSPENDED", "LOCKED"),
    "tenants get a status": _make_status_change("tenants", "TRIAL", "SUSPENDED"),
    "partners get a status": _make_status_change("partners", "SUSPENDED", "TRIAL"),
    "roles are emptied": _clear_roles,
    "people are removed": _make_removal("users"),
    "tenants are removed": _make_removal("tenants"),
    "partners are removed": _make_removal("partners"),
    "groups are removed": _make_removal("groups"),
    "memberships end": _end_memberships,
    "people move": _move_people,
}


def make_directory(size: Size, super_admins: int) -> RemoteDirectory:
    """Make a directory of active people, some super admins, with a group of everyone per tenant."""
    directory, random = RemoteDirectory(size), Random(size.seed)
    for tenant in directory.lists["tenants"].rows:
        directory.add_group(tenant, directory.list_contained("users", tenant))
    chosen = random.sample(sorted(directory.lists["users"].rows), super_admins)
    directory.change("users", chosen, roles=["super_admin"])
    return directory


def find_suspended_tenants(directory: RemoteDirectory) -> set[str]:
    """Return the tenants that ScaiKey itself suspends, unless there are too many of them."""
    partners = directory.lists["partners"].rows
    suspended = {
        key
        for key, row in directory.lists["tenants"].rows.items()
        if "SUSPENDED" in (row["status"], partners.get(row["partner_id"], {}).get("status"))
    }
    return suspended if len(suspended) <= MAX_SUSPENDED else set()


def assert_limited(
    before: set[Fact],
    remote: set[Fact],
    error: ScaiWaveError | None,
    *,
    suspended: set[str],
    has_one_cause: bool,
) -> None:
    """Assert that not too many people lost access, in total or in one tenant.

    Those of `suspended` tenants count nowhere. With several causes, the losses of one may be over
    the limit and wait, while those of another are within it.
    """
    after, people = collect_local_facts(), set(collect_access(before))
    apart = {fact[2] for fact in before if fact[0] == "person" and fact[1] in suspended}
    lost = find_people_who_lost(before, after) - apart
    intended = find_people_who_lost(before, remote) - apart
    if error is not None and error.code != "SW_SYNC_PARTIAL":
        assert after == before, f"{error!r}, but {format_facts(before - after)} was removed"
    assert not is_over_limit(lost, people), f"{len(lost)} of {len(people)} lost access"
    for tenant in {fact[1] for fact in before if fact[0] == "tenant"}:
        inside = {fact[2] for fact in before if fact[:2] == ("person", tenant)}
        message = f"{len(lost & inside)} of {len(inside)} lost access in {tenant}"
        assert not is_over_limit(lost, inside), message
        if has_one_cause and is_over_limit(intended, inside):
            assert not lost & inside, message


@settings(max_examples=SMALL_EXAMPLES, suppress_health_check=UNCHECKED, phases=PHASES)
@given(
    size=st.builds(
        Size,
        seed=st.integers(0, 999),
        partners=st.integers(1, 3),
        tenants=st.integers(1, 8),
        people=st.integers(30, 400),
    ),
    super_admins=st.integers(0, 3),
    mass_changes=st.lists(
        st.sampled_from(sorted(MASS_CHANGES)), min_size=1, max_size=2, unique=True
    ),
    share=st.sampled_from((1.0, 0.84, 0.5, 0.15, 0.1, 0.05)),
    allowed=st.sampled_from((None, 0.0, 0.5, 0.99)),
)
@example(Size(people=30), 0, ["partners get a status"], 1.0, None)
@example(Size(people=30), 0, ["people get a status"], 1.0, None)
@example(Size(people=60), 0, ["roles are emptied"], 1.0, None)
@example(Size(tenants=6, people=120), 0, ["tenants get a status"], 1.0, None)
@example(Size(tenants=6, people=120), 0, ["tenants are removed"], 0.84, None)
@example(Size(tenants=3, people=60), 0, ["groups are removed"], 0.5, None)
@example(Size(tenants=2, people=30), 0, ["roles are emptied", "groups are removed"], 0.5, None)
@example(
    Size(seed=94, tenants=2, people=291), 0, ["memberships end", "roles are emptied"], 0.15, None
)
def test_success_mass_changes_respect_the_removal_limit(
    scaikey: ScriptedScaiKey,
    size: Size,
    super_admins: int,
    mass_changes: list[str],
    share: float,
    allowed: float | None,
) -> None:
    """Lists and look-ups agree, so that only the removal limit protects access.

    `allowed` is the number of removals to allow, as a share of the people who lose access.
    """
    with transaction.atomic():
        scaikey.load(make_directory(size, super_admins))
        assert_in_sync(scaikey, PLAIN_SCRIPT)
        before = collect_local_facts()
        scaikey.directory.update_replicas()
        for change in mass_changes:
            MASS_CHANGES[change](scaikey.directory, Random(size.seed), share)
        scaikey.begin_run(PLAIN_SCRIPT)
        remote = scaikey.directory.collect_facts()
        intended = len(find_people_who_lost(before, remote))

        error = run_sync_once(scaikey, allowed=None if allowed is None else int(allowed * intended))

        event(f"{', '.join(mass_changes)}: {error.code if error else 'success'}")
        assert_limited(
            before,
            remote,
            error,
            suspended=find_suspended_tenants(scaikey.directory),
            has_one_cause=len(mass_changes) == 1,
        )
        if intended <= LIMIT and mass_changes == ["people get a status"] and not super_admins:
            assert error is None, f"{error!r}, although few people lose access"
        assert_in_sync(scaikey, PLAIN_SCRIPT)
        transaction.set_rollback(True)
