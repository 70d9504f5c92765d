"""Record runs, changes, pending removals and plans, and erase them later."""
