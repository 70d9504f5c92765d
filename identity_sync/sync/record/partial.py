"""The error of a run that applied its plan except for skipped rows, with the advice for each."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from identity_sync.errors import SyncPartial
from identity_sync.sync.fetch.lists import MAX_NAMED
from identity_sync.sync.judge.limits import Verdict
from identity_sync.sync.judge.removals import has_last_super_admin, list_pending_tenants
from identity_sync.sync.plan.slugs import SlugConflict
from identity_sync.sync.record import history, pending
from identity_sync.sync.rules import Rules
from scaiwave.console.text import join_examples, pluralize
from scaiwave.core.errors import ScaiWaveError, UpstreamForbidden
from tenants.roles.queries.super_admins import GRANT_COMMAND


class _Skipped(NamedTuple):
    """The skipped rows, how to settle them, and the command for that, if there is one."""

    reason: str
    fix: str
    command: str = ""


def build_partial_error(verdict: Verdict, rules: Rules, outcome: str) -> SyncPartial | None:
    """Return the error for a run that skips something, or None; the rest was applied or planned."""
    skipped = list(_iter_skipped(verdict, rules))
    if not skipped:
        return None
    return SyncPartial(
        f"{'. '.join(each.reason for each in skipped)}. Everything else was {outcome}.",
        fix=" ".join(dict.fromkeys(each.fix for each in skipped if each.fix)),
        command=next((each.command for each in skipped if each.command), ""),
    )


def _iter_skipped(verdict: Verdict, rules: Rules) -> Iterator[_Skipped]:
    confirmed, fetched = verdict.plan.confirmed, verdict.plan.confirmed.fetched
    if verdict.pending:
        yield from _describe_pending(rules, verdict.pending)
    if confirmed.inconsistent:
        kinds = ", ".join(dict.fromkeys(confirmed.inconsistent))
        yield _Skipped(
            f"Skipped removals of {kinds}: ScaiKey's list omits records that still exist",
            "Run `scaiwave sync` again later; if the problem remains, report the inconsistent list "
            "to the operators of ScaiKey.",
            "scaiwave sync",
        )
    if fetched.unreadable and not fetched.scope.announced_only:
        examples = history.describe_unreadable(MAX_NAMED)
        number = len(fetched.unreadable)
        yield _Skipped(
            f"Skipped {pluralize(number, 'list')} that ScaiKey does not return: "
            f"{join_examples(examples, number)}",
            _advise_on_unreadable(fetched.unreadable.values()),
            "scaiwave sync",
        )
    yield from _describe_conflicts(verdict.plan.conflicts)
    if unusable := sum(map(len, fetched.unusable.values())):
        yield _Skipped(
            f"Skipped {pluralize(unusable, 'unusable record')}",
            "Report the records in the warnings to the operators of ScaiKey.",
        )


def _describe_pending(rules: Rules, number: int) -> Iterator[_Skipped]:
    grant = f"Grant the role to someone who remains: {GRANT_COMMAND}"
    if approved := pending.count_approved(rules.now):
        yield _Skipped(
            f"{pluralize(approved, 'approved removal')} would leave no one with super_admin",
            f"{grant}. To accept it instead: `{rules.sync} --allow-no-super-admin`.",
        )
    if number == approved:
        return
    number -= approved
    tenants = list_pending_tenants()
    place = f" in {join_examples(tenants[:MAX_NAMED], len(tenants))}" if tenants else ""
    command = rules.removals
    fix = f"Review them: `{command}`. Then approve or keep them."
    if not approved and has_last_super_admin():
        fix += (
            f" One of them would leave no super_admin. {grant}, or approve it and sync with "
            "`--allow-no-super-admin`."
        )
    verb = "waits" if number == 1 else "wait"
    yield _Skipped(f"{pluralize(number, 'removal')}{place} {verb} for a decision", fix, command)


def _describe_conflicts(conflicts: list[SlugConflict]) -> Iterator[_Skipped]:
    """Describe those with used and those with invalid slugs; the first of all have their fixes."""
    named = conflicts[:MAX_NAMED]
    advice = [conflict.advise() for conflict in named]
    fixes = " ".join(dict.fromkeys(fix for fix, _ in advice))
    command = advice[0][1] if advice else ""
    used = [conflict.reason for conflict in conflicts if not conflict.problem]
    invalid = [conflict.reason for conflict in conflicts if conflict.problem]
    for what, slugs in (("already in use", used), ("invalid", invalid)):
        if slugs:
            examples = join_examples(slugs[:MAX_NAMED], len(slugs))
            yield _Skipped(f"Skipped tenants whose slug is {what}: {examples}", fixes, command)


def _advise_on_unreadable(errors: Collection[ScaiWaveError]) -> str:
    if any(isinstance(error, UpstreamForbidden) for error in errors):
        return (
            "Report them to the operators of ScaiKey. It returns other lists of that kind, so the "
            "credentials lack no scope."
        )
    return (
        "Run `scaiwave sync` again later; if the problem remains, report the lists to the "
        "operators of ScaiKey."
    )
