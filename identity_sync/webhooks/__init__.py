"""Webhooks from ScaiKey (ScaiKey docs, reference/webhooks): the fast path of the sync.

A request goes through the modules in this order:

1. `signature` verifies that ScaiKey signed it.
2. `receive` stores its event.
3. `start` starts a job or a process.
4. `process` looks up the records that the stored events name, and syncs them. An event is then
   handled, to be tried again, or failed.

An event only names a record to look up. Its data is not used or stored, so that the order of
events, repeated events and wrong data do not matter.
"""
