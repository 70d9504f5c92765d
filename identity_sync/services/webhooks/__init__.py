"""Webhooks from ScaiKey (ScaiKey docs, reference/webhooks): the fast path of the sync.

`signature` verifies a request, `receive` stores its event, `wake` starts a job or a process, and
`process` looks up what the stored events name and syncs it. An event is a hint which record to look
up, nothing more: its data is neither used nor stored, so that its order, repetition and truth don't
matter. `events` has what becomes of the stored rows.
"""
