"""Bundles that are uploaded in the admin site."""

from __future__ import annotations

from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from rooms.models import Room
from scaiwave.config import load
from scaiwave.sandbox import Sandbox
from tenants.models import AdminUser
from tests.authorisation_fixtures import SampleData

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sample(tmp_path: Path) -> SampleData:
    with Sandbox(people=1, tenants=1, partners=1, groups=1, seed=8) as scaikey:
        sample = SampleData.create(scaikey, tmp_path)
    sample.create_keys(1)
    return sample


def upload(client: Client, slug: str, data: bytes, *row: Any, **values: str) -> Any:
    bundle = SimpleUploadedFile("in.zip", data)
    return client.post(reverse("admin:act", args=[slug, *row]), {"bundle": bundle, **values})


def test_success_a_dry_run_an_import_and_a_second_one(sample: SampleData, client: Client) -> None:
    data, workspace = Path(sample.write_bundle()).read_bytes(), sample.room.workspace
    before, anna = Room.objects.count(), str(sample.anna.pk)
    page = client.get(reverse("admin:act", args=["room-import", workspace.pk]))
    assert [key for key, _ in page.context["form"].fields["participant"].choices] == [anna]
    values = {"participant": anna, "once": "on"}
    dry = upload(client, "room-import", data, workspace.pk, **values, dry_run="on")
    assert dry.context["report"].sentence.startswith("Would import room ")
    assert Room.objects.count() == before
    pages = [
        upload(client, "room-import", data, workspace.pk, **values)["Location"] for _ in range(2)
    ]
    assert pages[0] == pages[1]
    assert client.get(pages[0]).context["original"].workspace == workspace
    values["bundle"] = SimpleUploadedFile("in.zip", data)  # type: ignore[assignment]
    url = reverse("admin:act", args=["room-import", workspace.pk])
    assert client.post(url, values, headers={"X-Upload": "1"}).json() == {"url": pages[0]}
    assert Room.objects.count() == before + 1


def test_fail_a_damaged_bundle(sample: SampleData, client: Client) -> None:
    data = Path(sample.write_bundle()).read_bytes()
    assert not upload(client, "room-verify", data).context["report"].is_bad
    changed = BytesIO()
    with ZipFile(BytesIO(data)) as bundle, ZipFile(changed, "w") as copy:
        for name in bundle.namelist():
            copy.writestr(name, bundle.read(name).replace(b"Lobby", b"Hobby"))
    report = upload(client, "room-verify", changed.getvalue()).context["report"]
    assert report.is_bad
    assert "SW_" in report.rows[0][1]
    assert upload(client, "room-verify", b"no ZIP").status_code == HTTPStatus.CONFLICT


def test_fail_the_limits_of_the_api(sample: SampleData, client: Client, settings: Settings) -> None:
    settings.CONFIG = load(
        {
            **sample.environment,
            "SCAIWAVE_IMPORT_LIMIT_MB": "1",
            "SCAIWAVE_REQUIRE_ADMIN_TOKEN": "false",
        }
    )
    page = upload(client, "room-verify", b"x" * (3 * 2**20))
    assert page.status_code == HTTPStatus.CONFLICT
    assert "SW_BUNDLE_TOO_LARGE" in page.content.decode()
    plain = client.post(reverse("admin:act", args=["room-verify"]), "a=b", "text/plain")
    assert plain.status_code == HTTPStatus.CONFLICT
    assert "must be multipart/form-data" in plain.content.decode()


def test_fail_nothing_is_read_without_a_session_a_token_or_a_permission(
    sample: SampleData,
) -> None:
    data = Path(sample.write_bundle()).read_bytes()
    assert reverse("admin:login") in upload(Client(), "room-verify", data)["Location"]
    auditor = Client()
    auditor.force_login(AdminUser.objects.create_user("eve", is_staff=True, is_auditor=True))
    assert upload(auditor, "room-verify", data).status_code == HTTPStatus.FORBIDDEN
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(AdminUser.objects.create_superuser("root2"))
    assert upload(strict, "room-verify", data).status_code == HTTPStatus.FORBIDDEN
