"""Sign-in to the admin site with ScaiKey, by OpenID Connect.

mozilla-django-oidc builds the request with state, nonce and PKCE, and handles the answer's tokens;
`pending_sign_ins` is the browser's memory in between. The library checks only the signature and the
nonce of an ID token, so the token is verified by `scaiwave.auth.tokens`, as on the command line.
`scaiwave.site.access` decides what an account sees afterwards.
"""
