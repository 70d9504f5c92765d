"""Sign-in to the admin site with ScaiKey, by OpenID Connect.

mozilla-django-oidc has the flow: state, nonce and PKCE in the session. Of an ID token it checks
only the signature and the nonce, so the token is verified by `scaiwave.auth.tokens`, as on the
command line. What one sees afterwards is decided by `scaiwave.site.access`.
"""
