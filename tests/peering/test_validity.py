"""The life of a certificate, against certificates made by another library."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from isthmus.peering.validity import MINIMUM_DELAY, Validity, read_validity, renewal_delay

UTC = datetime.UTC
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(begin: datetime.datetime, end: datetime.datetime, organizations: int = 1) -> str:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"organization {n}") for n in range(organizations)]
    name = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, "rome")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("organizations", [1, 30])  # 30: an issuer longer than 127 and 255 bytes
@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 2090])  # from 2050 on in another encoding
def test_both_encodings_of_dates(year: int, organizations: int) -> None:
    begin = datetime.datetime(year, 3, 4, 5, 6, 7, tzinfo=UTC)
    end = begin + datetime.timedelta(days=365)
    found = read_validity(certificate(begin, end, organizations))
    assert found == (begin.timestamp(), end.timestamp())


def test_text_around_the_first_block_is_ignored() -> None:
    begin = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    one = certificate(begin, begin + datetime.timedelta(days=1))
    other = certificate(begin, begin + datetime.timedelta(days=9))
    assert read_validity("subject: x\n" + one + other) == read_validity(one)


def test_renewed_after_two_thirds_of_its_life() -> None:
    validity = Validity(1000.0, 4000.0)
    assert validity.renewal == 3000.0
    assert renewal_delay(validity, 1200.0) == 1800.0
    assert renewal_delay(validity, 9000.0) == MINIMUM_DELAY


def test_a_life_is_counted_from_the_signing() -> None:
    """Kubernetes dates back by five minutes: of a certificate for two minutes two thirds were over at once."""
    signed = 1000.0
    dated_back = Validity(signed - 300, signed + 120)
    assert dated_back.renewal < signed
    assert dated_back.since(signed).renewal == signed + 80
    assert Validity(1000.0, 4000.0).since(900.0) == Validity(1000.0, 4000.0)
    assert Validity(1000.0, 4000.0).since(9000.0).renewal == 4000.0


SAMPLE = certificate(datetime.datetime(2026, 1, 1, tzinfo=UTC), datetime.datetime(2027, 1, 1, tzinfo=UTC))


@given(st.integers(0, len(SAMPLE) - 1), st.characters(codec="ascii"))
def test_a_damaged_certificate_raises_nothing_but_value_error(position: int, character: str) -> None:
    damaged = SAMPLE[:position] + character + SAMPLE[position + 1 :]
    try:
        read_validity(damaged)
    except ValueError:
        pass


@given(st.text(max_size=200))
def test_garbage_raises_value_error(text: str) -> None:
    for pem in (text, f"-----BEGIN CERTIFICATE-----{text}-----END CERTIFICATE-----"):
        with pytest.raises(ValueError, match=r"."):
            read_validity(pem)
