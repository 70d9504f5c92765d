"""An OpenID Connect server that is not part of this suite, at the addresses that ScaiKey has.

Canaille, as pytest-iam runs it. A process of its own:
`python -m tests.tenants.accounts.oidc.iam_process <port> <redirect URI>`.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from typing import Any

CLIENT_ID, CLIENT_SECRET = "scaiwave", "a-secret-of-the-test"
USERNAME, PASSWORD, EMAIL = "eve", "correct horse battery", "eve@example.com"
PLATFORM = "/api/v1/platform"
ALIASES = {
    f"{PLATFORM}/oauth/.well-known/openid-configuration": "/.well-known/openid-configuration",
    f"{PLATFORM}/.well-known/jwks.json": "/oauth/jwks.json",
}


def build_configuration(port: int) -> dict[str, Any]:
    from joserfc.jwk import JWKRegistry

    jwk = JWKRegistry.generate_key("RSA", 2048)
    jwk.ensure_kid()
    return {
        "TESTING": True,
        "ENV_FILE": None,
        "SECRET_KEY": str(uuid.uuid4()),
        "PREFERRED_URL_SCHEME": "http",
        "SERVER_NAME": f"127.0.0.1:{port}",
        "CANAILLE": {
            "DATABASE": "memory",
            "JAVASCRIPT": False,
            "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"]}},
        },
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [jwk.as_dict(private=True)]},
    }


def add_role_claim() -> None:
    """Let it issue the claim with which ScaiKey names the role."""
    from canaille.oidc.userinfo import UserInfo

    UserInfo.REGISTERED_CLAIMS.append("role")
    UserInfo.SCOPES_CLAIMS_MAPPING["profile"] = [
        *UserInfo.SCOPES_CLAIMS_MAPPING["profile"],
        "role",
    ]


def add_client_claim() -> None:
    """Let it issue access tokens with the claim by which ScaiKey's differ from ID tokens."""
    from canaille.oidc import provider

    generate = provider.generate_id_token

    def generate_access_token(**options: Any) -> Any:
        options["user_info"]["client_id"] = CLIENT_ID
        return generate(**options)

    provider.generate_id_token = generate_access_token


def alias(app: Callable[..., Any]) -> Callable[..., Any]:
    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        environ["PATH_INFO"] = ALIASES.get(environ["PATH_INFO"], environ["PATH_INFO"])
        return app(environ, start_response)

    return answer


def main() -> None:
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    from canaille import create_app
    from canaille.backends import Backend
    from pytest_iam import Server

    port, redirect_uri = int(sys.argv[1]), sys.argv[2]
    add_role_claim()
    add_client_claim()
    app = create_app(config=build_configuration(port))
    app.config["CANAILLE_OIDC"]["USERINFO_MAPPING"]["ROLE"] = "super_admin"
    server = Server(app, port, Backend.instance)
    server.httpd.set_app(alias(app))
    with app.app_context():
        client = server.models.Client(
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            client_name="ScaiWave",
            client_uri="http://localhost",
            redirect_uris=[redirect_uri],
            grant_types=["authorization_code"],
            response_types=["code"],
            token_endpoint_auth_method="client_secret_basic",
            scope=["openid", "profile", "email"],
            id_token_signed_response_alg="RS256",
        )
        server.backend.save(client)
        client.audience = [client]
        server.backend.save(client)
        person = server.models.User(
            user_name=USERNAME,
            formatted_name="Eve",
            family_name="Eve",
            emails=[EMAIL],
            password=PASSWORD,
        )
        server.backend.save(person)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.httpd.serve_forever()


if __name__ == "__main__":
    main()
