"""The admin site as browsers and attackers see it: headers, sign-in, sessions."""

from __future__ import annotations

import json
import secrets
import sys
from http import HTTPStatus
from typing import Any

import pytest
from axes.models import AccessAttempt
from cryptography.fernet import Fernet
from django.test import Client
from django.urls import reverse

from scaiwave.config.web_libraries import LIBRARIES
from scaiwave.web.security_headers import PolicyMiddleware
from scaiwave.wsgi import application
from tenants.models import AdminUser, AuditEntry
from tests.databases import copy_database
from tests.scaiwave.cli_helpers import ProcessResult, run_process, run_scaiwave
from tests.scaiwave.site.pages import POLICY, InlineFinder
from tests.scaiwave.storage.test_error_mapping_postgresql import free_port

PASSWORD = "correct horse battery"
PROXY = "127.0.0.1"


def try_sign_in(
    username: str, password: str, forwarded_for: str = "198.51.100.7", **data: str
) -> Any:
    return Client(REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR=forwarded_for).post(
        reverse("admin:login"), {"username": username, "password": password, **data}
    )


def list_actions() -> list[tuple[str, str, str, str]]:
    entries = AuditEntry.objects.order_by("at", "pk")
    return [(e.action, e.operator, e.subject_name, e.origin) for e in entries]


@pytest.fixture
def anna() -> AdminUser:
    return AdminUser.objects.create_superuser("anna", password=PASSWORD)


@pytest.mark.django_db
def test_success_no_page_needs_unsafe_inline(anna: AdminUser) -> None:
    """`test_admin_site.py` tests lists and rows."""
    client = Client()
    pages = [client.get(reverse("admin:login")), try_sign_in("anna", "")]
    client.force_login(anna)
    pages += [client.get(reverse(f"admin:{name}")) for name in ("index", "password_change")]
    assert "unsafe" not in POLICY
    for page in pages:
        assert page.headers["Content-Security-Policy"] == POLICY
        assert InlineFinder(page.content.decode()).found == []


def test_success_the_same_policy_on_django_5() -> None:
    from django.http import HttpRequest, HttpResponse

    response = PolicyMiddleware(lambda request: HttpResponse())(HttpRequest())
    assert response.headers["Content-Security-Policy"] == POLICY


@pytest.mark.django_db
def test_fail_sign_in_is_locked_for_one_account_at_one_address(anna: AdminUser) -> None:
    """Other people behind the same proxy, and the same person elsewhere, still get in."""
    AdminUser.objects.create_superuser("ben", password=PASSWORD)
    for _ in range(4):
        assert try_sign_in("anna", "wrong").status_code == 200
    locked = [try_sign_in("anna", given) for given in ("wrong", PASSWORD, "wrong")]
    assert [(page.status_code, page.headers["Retry-After"]) for page in locked] == [
        (429, "900")
    ] * 3
    assert InlineFinder(locked[0].content.decode()).found == []
    assert try_sign_in("ben", PASSWORD).status_code == 302
    assert try_sign_in("anna", PASSWORD, "203.0.113.9").status_code == 302
    assert list_actions() == [
        *[("sign-in-failed", "anonymous", "anna", "198.51.100.7")] * 4,
        ("sign-in-locked", "anonymous", "anna", "198.51.100.7"),
        ("sign-in", "ben", "ben", "198.51.100.7"),
        ("sign-in", "anna", "anna", "203.0.113.9"),
    ]


@pytest.mark.django_db
def test_fail_a_forged_header_does_not_change_the_address(anna: AdminUser) -> None:
    """The proxy appends the address it sees; what the client sent before it does not count."""
    pages = [
        try_sign_in("anna", "wrong", f"203.0.113.{number}, 198.51.100.7") for number in range(5)
    ]
    assert [page.status_code for page in pages] == [200] * 4 + [429]


@pytest.mark.django_db
def test_fail_all_addresses_of_a_network_of_ipv6_count_together(anna: AdminUser) -> None:
    """A client can use any of them."""
    given = ("2001:db8::1", "2001:DB8:0:0:a::2", "2001:db8::3", "2001:db8::ffff:4", "2001:db8::5")
    pages = [try_sign_in("anna", "wrong", address) for address in given]
    assert [page.status_code for page in pages] == [200] * 4 + [429]
    assert list_actions()[1] == ("sign-in-failed", "anonymous", "anna", "2001:DB8:0:0:a::2")
    assert try_sign_in("anna", PASSWORD, "2001:db8:0:1::1").status_code == 302
    mapped = [try_sign_in("anna", "wrong", f"::ffff:192.0.2.{number}") for number in range(6)]
    assert [page.status_code for page in mapped] == [200] * 6


@pytest.mark.django_db
def test_fail_an_unknown_name_is_locked_too_and_not_recorded() -> None:
    pages = [try_sign_in("my-passw0rd", "wrong") for _ in range(5)]
    assert [page.status_code for page in pages] == [200] * 4 + [429]
    assert {entry[2] for entry in list_actions()} == {""}
    stored = [*AuditEntry.objects.all(), *AccessAttempt.objects.all()]
    assert not [row for row in stored if "passw0rd" in repr(vars(row))]


NEW_PASSWORD = "another correct battery"


def change_password(client: Client, old: str, new: str = NEW_PASSWORD) -> Any:
    values = {"old_password": old, "new_password1": new, "new_password2": new}
    return client.post(reverse("admin:password_change"), values)


@pytest.mark.django_db
def test_success_changing_a_password_is_recorded(anna: AdminUser) -> None:
    client, other = Client(REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR="198.51.100.7"), Client()
    for each in (client, other):
        each.force_login(anna)
    assert change_password(client, PASSWORD, "anna").status_code == 200
    assert change_password(client, PASSWORD).status_code == 302
    assert list_actions() == [("change-password", "anna", "anna", "198.51.100.7")]
    assert client.get(reverse("admin:index")).status_code == 200
    assert other.get(reverse("admin:index")).status_code == 302
    anna.refresh_from_db()
    assert anna.check_password(NEW_PASSWORD)


@pytest.mark.django_db
def test_fail_guesses_of_the_old_password_are_counted(anna: AdminUser) -> None:
    client = Client(REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR="198.51.100.7")
    client.force_login(anna)
    statuses = [change_password(client, f"guess {number}").status_code for number in range(5)]
    assert statuses == [200] * 4 + [429]
    assert change_password(client, PASSWORD).status_code == 429
    assert try_sign_in("anna", PASSWORD).status_code == 429
    assert list_actions() == [
        *[("sign-in-failed", "anonymous", "anna", "198.51.100.7")] * 4,
        ("sign-in-locked", "anonymous", "anna", "198.51.100.7"),
    ]
    anna.refresh_from_db()
    assert anna.check_password(PASSWORD)


@pytest.mark.django_db
def test_success_a_sign_in_ends_the_count(anna: AdminUser) -> None:
    for _ in range(2):
        statuses = [try_sign_in("anna", given).status_code for given in ("x", "x", "x", PASSWORD)]
        assert statuses == [200, 200, 200, 302]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"]
)
def test_fail_no_redirect_to_another_server(target: str, anna: AdminUser) -> None:
    answer = try_sign_in("anna", PASSWORD, next=target)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    client = Client()
    client.force_login(anna)
    assert client.get(reverse("admin:login"), {"next": target}).headers["Location"] == "/admin/"
    signed_out = client.post(reverse("admin:logout"), {"next": target})
    assert signed_out.headers.get("Location", "").partition("?")[0] in {"", "/admin/logout/"}


@pytest.mark.django_db
def test_success_session_ends_with_the_browser_and_after_8_hours(anna: AdminUser) -> None:
    client = Client()
    client.post(reverse("admin:login"), {"username": "anna", "password": PASSWORD})
    cookie = client.cookies["sessionid"]
    assert (cookie["max-age"], cookie["expires"], cookie["httponly"]) == ("", "", True)
    assert client.session.get_expiry_age() == 8 * 3600


HTTPS = {
    "SCAIWAVE_PUBLIC_URL": "https://chat.example.com",
    "SCAIWAVE_SERVER_NAME": "chat.example.com",
    "SCAIWAVE_SECRET_KEY": secrets.token_urlsafe(48),
    "SCAIWAVE_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}
FETCH = """
import django; django.setup()
from django.test import Client
for path in ("/admin/login/", "/health/live", "/metrics", "/healthy"):
    for secure in ({}, {"HTTP_X_FORWARDED_PROTO": "https"}):
        answer = Client().get(path, HTTP_HOST="chat.example.com", **secure)
        print(path, answer.status_code, answer.headers.get("Location"),
              answer.headers.get("Strict-Transport-Security"))
"""


def test_success_https(database_url: str, empty_database: str) -> None:
    copy_database(empty_database, database_url)
    env = {**HTTPS, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
    hsts = "max-age=31536000"
    assert run_process([sys.executable, "-c", FETCH], **env).out.splitlines() == [
        "/admin/login/ 301 https://chat.example.com/admin/login/ None",
        f"/admin/login/ 200 None {hsts}",
        "/health/live 200 None None",
        f"/health/live 200 None {hsts}",
        "/metrics 200 None None",
        f"/metrics 401 None {hsts}",
        "/healthy 301 https://chat.example.com/healthy None",
        f"/healthy 404 None {hsts}",
    ]
    checked = run_scaiwave("manage", "check", "--deploy", "--fail-level", "INFO", **HTTPS)
    assert (checked.code, checked.err) == (0, "")
    assert "no issues" in checked.out


FETCH_WITHOUT_DATABASE = """
import django; django.setup()
from django.test import Client
client = Client(raise_request_exception=False)
client.cookies["sessionid"] = 32 * "a"
answer = client.get("/admin/", HTTP_HOST="chat.example.com", HTTP_X_FORWARDED_PROTO="https")
page = answer.content.decode()
print(answer.status_code, answer["Retry-After"], "127.0.0.1" in page)
print("Database not available" in page, "SW_DATABASE_UNREACHABLE" in page)
"""


def test_fail_a_database_that_does_not_answer_is_a_page_of_its_own() -> None:
    env = {**HTTPS, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
    env["SCAIWAVE_DB_URL"] = f"postgres://user:secret@127.0.0.1:{free_port()}/name"
    ended = run_process([sys.executable, "-c", FETCH_WITHOUT_DATABASE], **env)
    assert ended.out.splitlines() == ["503 30 False", "True True"]


FETCH_ON_FULL_DISK = """
import resource, sys
sys.dont_write_bytecode = True
import django; django.setup()
from django.test import Client
client = Client(raise_request_exception=False)
client.cookies["sessionid"] = 32 * "a"
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
answer = client.get("/admin/", HTTP_HOST="chat.example.com", HTTP_X_FORWARDED_PROTO="https")
page = answer.content.decode()
print(answer.status_code, "Database not available" in page, "SW_DISK_FULL" in page)
"""


@pytest.mark.usefixtures("migrated")
def test_fail_a_full_disk_is_a_page_of_its_own() -> None:
    env = {**HTTPS, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
    ended = run_process([sys.executable, "-c", FETCH_ON_FULL_DISK], **env)
    assert ended.out.splitlines() == ["503 True True"], ended.err


def run_without_web_libraries(*words: str) -> ProcessResult:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({LIBRARIES}))\n"
        f"from scaiwave.cli import main; sys.exit(main({list(words)}))"
    )
    return run_process([sys.executable, "-c", code])


@pytest.mark.usefixtures("migrated")
def test_success_the_command_line_needs_no_web_libraries() -> None:
    assert run_without_web_libraries("manage", "migrate", "--verbosity", "0").code == 0
    assert run_without_web_libraries("manage", "check").code == 0
    examined = json.loads(run_without_web_libraries("doctor", "--json").out)
    assert "SW_DATABASE_UNMIGRATED" not in str(examined)


def test_fail_the_web_server_without_its_libraries() -> None:
    ended = run_without_web_libraries("manage", "runserver", "--noreload")
    assert ended.code == 2
    assert "[SW_WEB_LIBRARIES_MISSING]" in ended.err
    assert "pip install 'scaiwave[web]'" in ended.err


@pytest.mark.django_db
@pytest.mark.parametrize(
    "key", [r'"abcd\000efgh"', r'"\377\376abcdefg"', "' OR 1=1 --", "a" * 5000]
)
def test_success_a_cookie_without_a_session_key_is_ignored(key: str) -> None:
    """PostgreSQL refuses a null character in a text."""
    answer = Client().get("/admin/", HTTP_COOKIE=f"sessionid={key}")
    assert answer.status_code == HTTPStatus.FOUND
    assert answer["Location"] == "/admin/login/?next=/admin/"


def request_with(parameter: str, path: str = "/admin/login/") -> str:
    """Return the status of a request to the application that gunicorn serves."""
    statuses: list[str] = []
    environ = {
        **Client().get("/health/live").wsgi_request.environ,
        "PATH_INFO": path,
        "QUERY_STRING": "next=%ff&q=%5Cud800",
        "CONTENT_TYPE": f"text/plain; {parameter}",
    }
    answer: Any = application(environ, lambda status, headers: statuses.append(status))
    if hasattr(answer, "close"):
        answer.close()
    return statuses[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "parameter",
    [
        "charset=hex",
        "charset=rot13",
        "charset=unicode_escape",
        "charset=undefined",
        "charset=utf-16",
        "charset*=utf-8''a%00b",
        "charset*=unknown''a",
        "other*=unknown''a",
    ],
)
def test_fail_a_request_in_another_charset(parameter: str) -> None:
    """Python has codecs that fail, that decode no texts, and that make halves of characters."""
    for path in ("/admin/login/", "/oidc/callback/", "/v1/rooms/import", "/static/x"):
        assert request_with(parameter, path) == "400 Bad Request"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "parameter", ["charset=utf-8", 'charset="UTF8"', "charset=us-ascii", "charset=binary", ""]
)
def test_success_a_request_in_a_usual_charset(parameter: str) -> None:
    assert request_with(parameter) == "200 OK"
