"""A scripted ScaiKey over HTTP on loopback: a correct directory, and lists that misbehave.

Responses by id are always correct. A list may change its order with each page, come from two
replicas, repeat rows, cap its pages and report a wrong total, and the directory may change while a
list is read. It shares no code with the sandbox, so that a defect of one can't hide in the other.

`script` defines how lists behave, `records` and `directory` are what ScaiKey really has, `pages`
are what a list returns, `reads` finds what no client can detect, and `server` serves all of it.
"""
