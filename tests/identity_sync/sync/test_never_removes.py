"""A sync never takes away what still exists, however the lists of ScaiKey misbehave.

What is so in ScaiKey and here is a set of facts. Through any run, a fact that was so here before,
and is so in ScaiKey all the while, stays so here; and after a quiet run both sets are equal.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.errors import ScaiWaveError
from tenants.models import Group, GroupMembership, Participant, Partner, RoleGrant, Tenant
from tests.identity_sync.sync.directory import sync
from tests.identity_sync.sync.scripted_scaikey import (
    ACTS,
    COLLECTIONS,
    ENVELOPES,
    ORDERS,
    PLACES,
    REPEATS,
    REPLICAS,
    TOTALS,
    Act,
    Brief,
    Fact,
    Manner,
    Script,
    ScriptedScaiKey,
    Size,
    Truth,
    is_person,
)

pytestmark = pytest.mark.django_db

# Read at import: the `home` fixture takes such variables out of the environment.
NIGHTLY = os.environ.get("SCAIWAVE_TEST_NIGHTLY") == "1"
SMALL, LARGE = (900, 100) if NIGHTLY else (30, 5)
UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
PHASES = [phase for phase in Phase if phase is not Phase.explain]  # It takes minutes.
EVERYTHING = 10**6
NAMES = tuple(sorted(ACTS))
PLAIN = Script()

# The removal limit of a server with nothing else set: more than both of these is too much.
LIMIT, SHARE = 20, 0.10


@dataclass(frozen=True, repr=False)
class Run(Brief):
    """One sync: what changes before it, what it meets, and what it is allowed."""

    script: Script = PLAIN
    before: tuple[Act, ...] = ()
    allowed: int | None = None
    in_flight: int = 1


@dataclass(frozen=True, repr=False)
class Story(Brief):
    """What there is at first, runs that meet trouble, and how the lists look in the quiet one."""

    size: Size
    runs: tuple[Run, ...]
    quiet: Script = PLAIN


@pytest.fixture
def scaikey(settings: Settings) -> Iterator[ScriptedScaiKey]:
    with ScriptedScaiKey() as running:
        settings.CONFIG = Configuration(
            {
                "SCAIWAVE_SCAIKEY_URL": running.url,
                "SCAIWAVE_SCAIKEY_CLIENT_ID": running.client_id,
                "SCAIWAVE_SCAIKEY_CLIENT_SECRET": running.client_secret,
            },
            Path("/nonexistent"),
            Path("/nonexistent/.env"),
        )
        yield running
    assert running.problems == []


def run_sync_once(
    scaikey: ScriptedScaiKey, *, allowed: int | None, in_flight: int = 1
) -> ScaiWaveError | None:
    """The one place that starts a sync; returns the error that it ended with, if any.

    With one request in flight pages come in order, so that a failure comes again. `allowed` is the
    number of removals that are allowed; with EVERYTHING the last super_admin may go too.
    """

    def connect(config: Configuration) -> ScaiKeyClient:
        return ScaiKeyClient(
            scaikey.url,
            client_id=scaikey.client_id,
            client_secret=scaikey.client_secret,
            in_flight=in_flight,
        )

    options: dict[str, Any] = {"connect": connect, "allow_removals": allowed}
    options["allow_no_super_admin"] = allowed == EVERYTHING
    try:
        sync(**options)
    except ScaiWaveError as ended:
        return ended
    return None


def local_facts() -> set[Fact]:
    """What is so here, in the words of `Truth.facts`: of what is linked and not absent."""
    here: dict[str, Any] = {"absent_since": None}
    found: set[Fact] = set()
    for key, status in Partner.objects.filter(**here).values_list("scaikey_id", "scaikey_status"):
        found |= {("partner", str(key)), ("partner status", str(key), status)}
    columns = "scaikey_tenant_id", "scaikey_status", "partner__scaikey_id"
    for key, status, partner in Tenant.objects.filter(**here).values_list(*columns):
        found |= {("tenant", str(key)), ("tenant status", str(key), status)}
        found.add(("tenant of", str(key), str(partner)))
    place = "tenant__scaikey_tenant_id", "scaikey_id"
    for *who, status in Participant.objects.filter(**here).values_list(*place, "scaikey_status"):
        found |= {("person", *map(str, who)), ("person status", *map(str, who), status)}
    groups = Group.objects.filter(**here).values_list(*place)
    found.update(("group", str(tenant), str(key)) for tenant, key in groups)
    edges = GroupMembership.objects.filter(**here, group__absent_since=None)
    for kind in ("member_participant", "member_group"):
        present = edges.filter(**{f"{kind}__isnull": False, f"{kind}__absent_since": None})
        pairs = present.values_list("group__scaikey_id", f"{kind}__scaikey_id")
        found.update(("member", str(group), str(who)) for group, who in pairs)
    grants = RoleGrant.objects.filter(source="scaikey", participant__absent_since=None)
    columns = "tenant__scaikey_tenant_id", "participant__scaikey_id", "role__slug"
    found.update(("role", *map(str, grant)) for grant in grants.values_list(*columns))
    return found


def told(facts: set[Fact]) -> str:
    """How many there are of each kind, and some of them, for a message."""
    counted = Counter(fact[0] for fact in facts)
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(counted.items()))
    shown = "; ".join(" ".join(fact) for fact in sorted(facts)[:5])
    return f"{counts} ({shown} …)" if facts else "nothing"


def assert_true_to(
    scaikey: ScriptedScaiKey, before: set[Fact], ended: object, lately: set[Fact]
) -> None:
    """What was so here, and has been so in ScaiKey since the run began, is so here; and what is new
    here was so in ScaiKey at some time.

    To be suspended is nothing that can be taken away, and to belong to a partner matters where that
    partner is not active.
    """
    kept, here = (before & scaikey.steady) - scaikey.unknowable(), local_facts()
    lost = {fact for fact in kept - here if fact[0] != "tenant of" and fact[-1] != "SUSPENDED"}
    assert not lost, f"The run took away what still exists: {told(lost)}. It ended with {ended!r}."
    poorer = losers(kept, here)
    assert not poorer, f"{len(poorer)} people lost access that they still have. {ended!r}"
    made_up = here - before - scaikey.ever - lately
    assert not made_up, f"The run made up {told(made_up)}. It ended with {ended!r}."


def assert_settled(scaikey: ScriptedScaiKey, script: Script) -> None:
    """A quiet run makes what is here equal to what is there."""
    scaikey.truth.forget_lately()
    scaikey.begin(script)
    ended = run_sync_once(scaikey, allowed=EVERYTHING)
    assert ended is None
    here, there = local_facts(), scaikey.truth.facts()
    assert here == there, f"Only here: {told(here - there)}. Only there: {told(there - here)}."


def assert_story(scaikey: ScriptedScaiKey, story: Story) -> list[str]:
    """Run it in a database that is empty before and after; returns how the runs ended."""
    endings = []
    with transaction.atomic():
        scaikey.load(Truth(story.size))
        assert_settled(scaikey, story.quiet)
        for run in story.runs:
            scaikey.truth.forget_lately()
            lately: set[Fact] = set()  # A replica may still show what was so for a while.
            for act in run.before:
                scaikey.truth.perform(act)
                lately |= scaikey.truth.facts()
            before = local_facts()
            scaikey.begin(run.script)
            ended = run_sync_once(scaikey, allowed=run.allowed, in_flight=run.in_flight)
            endings.append(ended.code if ended else "success")
            assert_true_to(scaikey, before, ended, lately)
        assert_settled(scaikey, story.quiet)
        transaction.set_rollback(True)
    return endings


def access(facts: set[Fact]) -> dict[str, set[Fact]]:
    """What each person has: that they are active in their tenant, their roles, their groups."""
    partners = {fact[1] for fact in facts if fact[0] == "partner status" and fact[2] == "ACTIVE"}
    behind = {fact[1] for fact in facts if fact[0] == "tenant of" and fact[2] in partners}
    active = {fact[1] for fact in facts if fact[0] == "tenant status" and fact[2] == "ACTIVE"}
    found: dict[str, set[Fact]] = {}
    for fact in facts:
        match fact:
            case ("person status", tenant, who, "ACTIVE") if tenant in active & behind:
                found.setdefault(who, set()).add(("active", tenant))
            case ("role", _, who, _):
                found.setdefault(who, set()).add(fact)
            case ("member", _, who) if is_person(who):
                found.setdefault(who, set()).add(fact)
    return found


def losers(before: set[Fact], after: set[Fact]) -> set[str]:
    """Who has less after than before; each counts once, however much they lose."""
    had, has = access(before), access(after)
    return {who for who, held in had.items() if held - has.get(who, set())}


def is_too_much(lost: set[str], people: set[str]) -> bool:
    lost = lost & people
    return len(lost) > LIMIT and len(lost) > SHARE * len(people)


def looks() -> st.SearchStrategy[dict[str, Any]]:
    """Where a list puts its rows and its total."""
    fields = {"place": st.sampled_from(PLACES), "envelope": st.sampled_from(ENVELOPES)}
    return st.fixed_dictionaries(fields)


def quirks(caps: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    """One way in which a list misbehaves, as fields of `Manner`."""
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
                "apart": st.sampled_from((9, 0, 1)),
                "lagging": st.booleans(),
                "seed": seed,
            }
        ),
        st.fixed_dictionaries({"repeat": st.sampled_from(REPEATS[1:]), "seed": seed}),
        st.fixed_dictionaries({"caps": st.lists(caps, min_size=2, max_size=3).map(tuple)}),
        st.fixed_dictionaries({"totals": st.sampled_from(TOTALS[1:]), "seed": seed}),
    )


@st.composite
def manners(draw: st.DrawFn, caps: st.SearchStrategy[int], most: int) -> Manner:
    """How a list behaves, with at most so many quirks."""
    fields = {"caps": (draw(caps),), **draw(looks())}
    for quirk in draw(st.lists(quirks(caps), max_size=most)):
        fields |= quirk
    return Manner(**fields)


@st.composite
def scripts(draw: st.DrawFn, caps: st.SearchStrategy[int], *, quiet: bool, many: int = 1) -> Script:
    quirky, few = (manners(each, 0 if quiet else 2) for each in (caps, st.integers(1, 3)))
    interruption = st.tuples(
        st.sampled_from((*COLLECTIONS, "members", "items", "scim")), st.integers(1, 12), acts(many)
    )
    return Script(
        partners=draw(few),
        tenants=draw(few),
        users=draw(quirky),
        groups=draw(few),
        members=draw(st.lists(quirky, min_size=1, max_size=3).map(tuple)),
        interruptions=draw(st.lists(interruption, max_size=0 if quiet else 3).map(tuple)),
        strict_pages=draw(st.booleans()),
        undiscovered=draw(st.booleans()),
        telling_token=draw(st.booleans()),
        scim=draw(st.booleans()),
    )


def acts(many: int, names: Sequence[str] = NAMES) -> st.SearchStrategy[Act]:
    number, seed = st.integers(1, many), st.integers(0, 99)
    return st.builds(Act, name=st.sampled_from(names), number=number, seed=seed)


@st.composite
def stories(draw: st.DrawFn, *, large: bool) -> Story:
    caps = st.sampled_from((100, 50, 97)) if large else st.integers(3, 20)
    many = 700 if large else 5
    size = Size(
        seed=draw(st.integers(0, 999)),
        partners=draw(st.integers(1, 3)),
        tenants=draw(st.integers(1, 4)),
        people=draw(st.integers(300, 6000) if large else st.integers(1, 60)),
        groups=draw(st.integers(0, 6)),
        members=draw(st.integers(0, 500) if large else st.integers(0, 30)),
    )
    runs = st.builds(
        Run,
        script=scripts(caps, quiet=False, many=many),
        before=st.lists(acts(many), max_size=3).map(tuple),
        allowed=st.sampled_from((None, EVERYTHING, 0, 10, 50, 300)),
        in_flight=st.sampled_from((1, 1, 4)),
    )
    return Story(
        size=size,
        runs=draw(st.lists(runs, min_size=1, max_size=2 if large else 3).map(tuple)),
        quiet=draw(scripts(caps, quiet=True)),
    )


def make_story(size: Size, *, before: tuple[Act, ...] = (), **script: Any) -> Story:
    """One run that nothing limits."""
    return Story(size, (Run(Script(**script), before, allowed=EVERYTHING),))


FEW = Size(people=12, groups=1, members=12)
MANY = Size(people=3000, groups=1, members=20)
LEAVING = tuple(
    Story(
        Size(seed=seed, tenants=8, people=2000),
        (
            Run(
                Script(users=Manner(order="rotate", step=1)), (Act("leave_tenant", 150, seed),), 160
            ),
        ),
    )
    for seed in (0, 3, 7)
)
"""Many of one tenant are gone, and the list leaves out some others: together they are more than
what is allowed, and alone they are not."""


@settings(max_examples=SMALL, suppress_health_check=UNCHECKED, phases=PHASES)
@given(story=stories(large=False))
@example(make_story(FEW, members=(Manner(order="rotate", step=1, caps=(5,)),)))
@example(make_story(FEW, members=(Manner(order="jump", caps=(4,)),)))
@example(make_story(FEW, members=(Manner(order="reverse", caps=(5,)),)))
@example(make_story(FEW, members=(Manner(order="shuffle", caps=(5,)),)))
@example(make_story(FEW, members=(Manner(replicas="parity", caps=(4,)),)))
@example(make_story(FEW, members=(Manner(replicas="alternate", apart=0, caps=(5,)),)))
@example(make_story(FEW, members=(Manner(repeat="instead"),)))
@example(
    make_story(
        FEW,
        before=(Act("remove_members", 1, 1),),
        members=(Manner(replicas="parity", apart=1, lagging=True, caps=(4,)),),
    )
)
@example(make_story(FEW, members=(Manner(caps=(3, 5), totals="missing"),)))
@example(make_story(FEW, members=(Manner(caps=(5,), totals="low"),)))
@example(
    make_story(
        Size(people=1),
        before=(Act("add_group"), Act("soft_delete_groups")),
        groups=Manner(replicas="parity", lagging=True, caps=(1,)),
    )
)
def test_success_small(scaikey: ScriptedScaiKey, story: Story) -> None:
    for ending in assert_story(scaikey, story):
        event(f"a run ended with {ending}")


@settings(max_examples=LARGE, suppress_health_check=UNCHECKED, phases=PHASES)
@given(story=stories(large=True))
@example(Story(MANY, (Run(Script(users=Manner(order="rotate", step=9))),)))
@example(Story(MANY, (Run(Script(users=Manner(totals="low"))),)))
@example(LEAVING[0])
@example(LEAVING[1])
@example(LEAVING[2])
@example(make_story(MANY, users=Manner(order="shuffle")))
@example(make_story(MANY, users=Manner(replicas="parity", apart=0)))
def test_success_large(scaikey: ScriptedScaiKey, story: Story) -> None:
    for ending in assert_story(scaikey, story):
        event(f"a run ended with {ending}")


def test_success_roles_of_two_who_change(scaikey: ScriptedScaiKey) -> None:
    """Both are asked for by id, in another order than they are listed in."""
    truth = Truth(Size(people=3))
    truth.lists["users"].keys = ["usr_3", "usr_2", "usr_1"]
    for who, roles in (("usr_1", ["editors", "tenant_admin"]), ("usr_2", ["editors"])):
        truth.change("users", [who], roles=roles)
    scaikey.load(truth)
    assert_settled(scaikey, PLAIN)
    truth.change("users", ["usr_1"], roles=[])
    truth.change("users", ["usr_2"], roles=["super_admin"])

    assert_settled(scaikey, PLAIN)


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


@settings(max_examples=SMALL, suppress_health_check=UNCHECKED, phases=PHASES)
@given(
    size=st.builds(
        Size,
        seed=st.integers(0, 999),
        partners=st.integers(1, 3),
        tenants=st.integers(1, 4),
        people=st.integers(1, 60),
    ),
    changes=st.lists(acts(10, REVERSIBLE), min_size=1, max_size=6),
    stale=st.lists(st.sampled_from(COLLECTIONS), min_size=1, unique=True),
    replicas=st.sampled_from(REPLICAS),
    allowed=st.sampled_from((None, EVERYTHING)),
)
def test_success_old_rows(
    scaikey: ScriptedScaiKey,
    size: Size,
    changes: list[Act],
    stale: list[str],
    replicas: str,
    allowed: int | None,
) -> None:
    """A list may show what a row said before it changed; the item says what it says now."""
    manner = Manner(stale=True, replicas=replicas, caps=(7,))
    stale_lists: dict[str, Any] = dict.fromkeys(stale, manner)
    late = Script(**stale_lists)
    seen = [Run(before=(act,), allowed=EVERYTHING) for act in changes]
    assert_story(scaikey, Story(size, (*seen, Run(late, allowed=allowed))))


def _hit(random: Random, keys: Iterable[str], share: float) -> list[str]:
    found = sorted(keys)
    return random.sample(found, round(share * len(found)))


def _give_status(collection: str, *statuses: str) -> Callable[[Truth, Random, float], None]:
    def change(truth: Truth, random: Random, share: float) -> None:
        hit = _hit(random, truth.lists[collection].rows, share)
        truth.change(collection, hit, status=random.choice(statuses))

    return change


def _vanish(collection: str) -> Callable[[Truth, Random, float], None]:
    def change(truth: Truth, random: Random, share: float) -> None:
        hit = _hit(random, truth.lists[collection].rows, share)
        truth.remove(collection, hit, soft=random.random() < 0.5)

    return change


def _empty_roles(truth: Truth, random: Random, share: float) -> None:
    truth.change("users", _hit(random, truth.lists["users"].rows, share), roles=[])


def _end_memberships(truth: Truth, random: Random, share: float) -> None:
    truth.leave_groups(_hit(random, truth.lists["users"].rows, share))


def _move(truth: Truth, random: Random, share: float) -> None:
    hit = _hit(random, truth.lists["users"].rows, share)
    if tenants := sorted(truth.lists["tenants"].rows):
        truth.leave_groups(set(hit))
        truth.change("users", hit, tenant_id=random.choice(tenants))


MASS_CHANGES: dict[str, Callable[[Truth, Random, float], None]] = {
    "people get a status": _give_status("users", "ENABLED", "SUSPENDED", "LOCKED"),
    "tenants get a status": _give_status("tenants", "TRIAL", "SUSPENDED"),
    "partners get a status": _give_status("partners", "SUSPENDED", "TRIAL"),
    "roles are emptied": _empty_roles,
    "people vanish": _vanish("users"),
    "tenants vanish": _vanish("tenants"),
    "partners vanish": _vanish("partners"),
    "groups vanish": _vanish("groups"),
    "memberships end": _end_memberships,
    "people move": _move,
}


def make_directory(size: Size, super_admins: int) -> Truth:
    """Everybody is active; each tenant has a group of all its people; some are super_admin."""
    truth, random = Truth(size), Random(size.seed)
    for tenant in truth.lists["tenants"].rows:
        truth.add_group(tenant, truth.inside("users", tenant))
    chosen = random.sample(sorted(truth.lists["users"].rows), super_admins)
    truth.change("users", chosen, roles=["super_admin"])
    return truth


def assert_limited(before: set[Fact], there: set[Fact], ended: ScaiWaveError | None) -> None:
    """No run takes access from too many, neither in all nor in one tenant."""
    here, everybody = local_facts(), set(access(before))
    lost, meant = losers(before, here), losers(before, there)
    if ended is not None and ended.code != "SW_SYNC_PARTIAL":
        assert here == before, f"{ended!r}, yet {told(before - here)} is gone"
    assert not is_too_much(lost, everybody), f"{len(lost)} of {len(everybody)} lost something"
    for tenant in {fact[1] for fact in before if fact[0] == "tenant"}:
        inside = {fact[2] for fact in before if fact[:2] == ("person", tenant)}
        if is_too_much(meant, inside):
            told_of = f"{len(lost & inside)} of {len(inside)} lost something in {tenant}"
            assert not lost & inside, told_of


@settings(max_examples=SMALL, suppress_health_check=UNCHECKED, phases=PHASES)
@given(
    size=st.builds(
        Size,
        seed=st.integers(0, 999),
        partners=st.integers(1, 3),
        tenants=st.integers(1, 8),
        people=st.integers(30, 400),
    ),
    super_admins=st.integers(0, 3),
    changes=st.lists(st.sampled_from(sorted(MASS_CHANGES)), min_size=1, max_size=2, unique=True),
    share=st.sampled_from((1.0, 0.84, 0.5, 0.15, 0.1, 0.05)),
    allowed=st.sampled_from((None, 0.0, 0.5, 0.99)),
)
@example(Size(people=30), 0, ["partners get a status"], 1.0, None)
@example(Size(people=30), 0, ["people get a status"], 1.0, None)
@example(Size(people=60), 0, ["roles are emptied"], 1.0, None)
@example(Size(tenants=6, people=120), 0, ["tenants get a status"], 1.0, None)
@example(Size(tenants=6, people=120), 0, ["tenants vanish"], 0.84, None)
@example(Size(tenants=3, people=60), 0, ["groups vanish"], 0.5, None)
@example(Size(tenants=2, people=30), 0, ["roles are emptied", "groups vanish"], 0.5, None)
def test_success_mass_changes_meet_the_limit(
    scaikey: ScriptedScaiKey,
    size: Size,
    super_admins: int,
    changes: list[str],
    share: float,
    allowed: float | None,
) -> None:
    """The lists and the items tell the same, so that the removal limit is what is left.

    `allowed` is the number of removals to allow, as a share of the people who lose something.
    """
    with transaction.atomic():
        scaikey.load(make_directory(size, super_admins))
        assert_settled(scaikey, PLAIN)
        before = local_facts()
        scaikey.truth.forget_lately()
        for change in changes:
            MASS_CHANGES[change](scaikey.truth, Random(size.seed), share)
        scaikey.begin(PLAIN)
        there = scaikey.truth.facts()
        meant = len(losers(before, there))

        ended = run_sync_once(scaikey, allowed=None if allowed is None else int(allowed * meant))

        event(f"{', '.join(changes)}: {ended.code if ended else 'success'}")
        assert_limited(before, there, ended)
        if meant <= LIMIT and changes == ["people get a status"] and not super_admins:
            assert ended is None, f"{ended!r}, although few lose anything"
        assert_settled(scaikey, PLAIN)
        transaction.set_rollback(True)
