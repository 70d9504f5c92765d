from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec

from rooms.erasure.certificate import verify_certificate
from rooms.management.tenant_moves import add_signer_arguments
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin verify-certificate"
    summary = "Verify the certificate of an erasure"
    area, place = "tenants", 176
    permission = "VIEW"
    examples = (
        "scaiwave admin verify-certificate acme-erased.json --descriptor chat.example.org.json",
        "scaiwave admin verify-certificate acme-erased.json --tenant tnt_8f3a",
    )
    help = (
        "Verify the signature of a certificate, and print its counts and the data that is not "
        "erased. With --key or --descriptor no database is needed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="the certificate")
        parser.add_argument(
            "--tenant", default="", metavar="ID", help="ID or ScaiKey ID that it must be about"
        )
        add_signer_arguments(parser)

    def handle(self, file: Path, tenant: str, **options: Any) -> None:
        key, descriptor = options["key"], options["descriptor"]
        certificate, signer = verify_certificate(
            operator=None if key or descriptor else self.operator,
            file=file,
            key=key,
            descriptor=descriptor,
            tenant_id=tenant,
        )
        if self.output.as_json:
            document = msgspec.to_builtins(certificate)
            self.output.print_json({"valid": True, "signer": signer, "certificate": document})
            return
        erased = sum(each.before for each in certificate.counts)
        self.output.print_line(
            f"The certificate is valid, signed by {signer}: {erased:,} rows and files were erased "
            f"by {certificate.finished_at}, and none was found afterwards."
        )
        self.output.print_line(certificate.statement)
        self.output.print_line("Not erased:")
        for each in certificate.not_erased:
            self.output.print_line(f"  {each.what}{f' {each.gone_by}' if each.gone_by else ''}")
