"""What `scaiwave doctor` looks at, and in which order.

A check is a function of (configuration, now) that yields findings; apps register theirs through
`scaiwave.registry`.
"""
