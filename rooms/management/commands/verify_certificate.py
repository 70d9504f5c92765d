from __future__ import annotations

from pathlib import Path

import msgspec

from rooms.erasure.certificate import verify_certificate
from scaiwave.cli.arguments import DESCRIPTOR, KEY, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand


class VerifyCertificateArguments(Arguments):
    file: Path = argument("the certificate", metavar="FILE")
    tenant: str = option("ID or ScaiKey ID that it must be about", default="", metavar="ID")
    key: str | None = option(KEY)
    descriptor: Path | None = option(DESCRIPTOR, metavar="FILE")


class Command(OperatorCommand[VerifyCertificateArguments]):
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

    def run(self, given: VerifyCertificateArguments) -> None:
        key, descriptor = given.key, given.descriptor
        certificate, signer = verify_certificate(
            operator=None if key or descriptor else self.operator,
            file=given.file,
            key=key,
            descriptor=descriptor,
            tenant_id=given.tenant,
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
