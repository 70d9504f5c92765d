"""Tell which announced records the look-ups have decided."""

from __future__ import annotations

from identity_sync.reasons import format_cause
from identity_sync.sync.fetch.announced import Targets
from scaiwave.core.sql import fetch


def update_unproven(targets: Targets) -> None:
    """Remove the targets that the confirmation has decided, and add the undecided ones."""
    decided = {
        (kind, key) for kind, key in fetch("SELECT kind, scaikey_id FROM confirmed_removals")
    }
    for target in decided & targets.unproven.keys():
        del targets.unproven[target]
    undecided = fetch(
        "SELECT kind, scaikey_id, note, detail FROM loss_claims WHERE state = 'postponed' UNION "
        "SELECT 'groups', group_scaikey_id, note, '' FROM edge_claims WHERE state = 'postponed'"
    )
    for kind, key, note, detail in undecided:
        targets.unproven.setdefault((kind, key), format_cause(note, detail or ""))
