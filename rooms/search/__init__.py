"""The search index: its documents, where they are, and how it is queried.

`schema` and `scope` hold the SQL of the full-text table and of the events that belong in it;
`documents` maintains that table. `base` is what an index takes and returns, `database` is the index
in the database. `weaviate` adds a search server (`vectors` gets embeddings for it), and
`backend` opens the configured one. `query` parses what an operator types. `backfill`, `runs`,
`queue` and `worker` fill the index.
"""
