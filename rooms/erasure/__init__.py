"""The erasure of tenants: a plan, phases that continue after any end, and a signed certificate.

`plan` checks the conditions, and counts. `erase_tenant` runs the phases. `certificate` has the
counts before and after. `places` are the media store and the search server.
"""
