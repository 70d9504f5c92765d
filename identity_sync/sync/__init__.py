"""A sync: the local partners, tenants, people, groups, memberships and roles follow ScaiKey.

`run.run_sync` goes through the modules in this order:

1. `scope` reads from the token the scope of the credentials; `fetch` reads the lists into
   temporary tables, and `targets` the single records that webhooks announce.
2. `claims` finds the rows that would lose access by the lists, and `confirm` looks up each of them
   by ID; `edge_claims` does so for memberships, and reads members again.
3. `plan` resolves conflicts of slugs, and compares the staged records with the rows: `entities`,
   `memberships` and `roles` plan their kinds.
4. `losses` finds who would lose access, `removal_limit` judges which removals wait, `set_aside`
   skips them and `pending` records them; `reviewed_removals` compares them with a reviewed plan.
5. `changes` reads the plan with the values before and after, for `history` and `plan_file`.
6. `plan` applies the plan in one transaction; `history` records the run and `report` sums it up.

`run.write_sync_plan` writes the plan to a file instead (`plan_file`), and `run.apply_sync_plan`
applies one that was reviewed. `tables` explains the temporary tables, which all SQL here is about.
"""
