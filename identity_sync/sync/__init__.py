"""A sync: the local partners, tenants, people, groups, memberships and roles follow ScaiKey.

`run.run_sync` goes through the rooms in this order; none of them imports a later one:

1. `fetch` reads the scope of the credentials, and the lists or the records that webhooks announced,
   into temporary tables.
2. `confirm` finds the rows that would lose access by the lists, and looks each of them up.
3. `plan` resolves conflicts of slugs, and compares the staged records with the rows.
4. `judge` finds who would lose access, and skips the removals that wait for a decision.
5. `apply` writes the plan in one transaction.
6. `record` keeps the run, its changes and its removals, and writes a plan to a file instead.

`tables` explains the temporary tables, which all SQL here is about.
"""
