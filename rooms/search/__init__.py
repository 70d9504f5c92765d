"""The search index: its documents, where they are, and how it is queried.

`schema` and `scope` hold the SQL of the full-text table and of the events that belong in it;
`documents` maintains that table. `base` is what an index can do, `database` and `weaviate` are the
two implementations (`vectors` gets embeddings for the latter), and `backend` opens the configured
one. `query` parses what an operator types. `backfill`, `runs`, `queue` and `worker` fill the index.
"""
