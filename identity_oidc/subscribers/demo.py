"""A small operator's database with invented people, and the documented views over its tables.

Numbers are such as nobody has: drama numbers of Ofcom (+44 7700 900xxx), North America's 555-01xx, Beijing's 0 block.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from identity_oidc.subscribers.errors import SubscriberBaseUnavailableError, SubscriberSettingError

_METADATA: Final = MetaData()

CUSTOMER: Final = Table(
    "customer",
    _METADATA,
    Column("customer_no", String(16), primary_key=True),
    Column("full_name", String(255), nullable=False),
    Column("first_name", String(255)),
    Column("last_name", String(255)),
    Column("born_on", Date),
    Column("sex", String(16)),
    Column("language", String(35)),
    Column("time_zone", String(64)),
    Column("mail", String(320)),
    Column("mail_checked", Boolean, nullable=False, default=False),
    Column("street", String(255)),
    Column("city", String(255)),
    Column("province", String(255)),
    Column("postcode", String(32)),
    Column("country", String(64)),
    Column("changed_at", Integer, nullable=False),
)
LINE: Final = Table(
    "line",
    _METADATA,
    Column("msisdn", String(16), primary_key=True),
    Column("customer_no", ForeignKey("customer.customer_no"), nullable=False, unique=True),
)
SIM_IDENTITY: Final = Table(
    "sim_identity",
    _METADATA,
    Column("identity_id", String(64), primary_key=True),
    Column("customer_no", ForeignKey("customer.customer_no"), nullable=False),
)

_VIEWS: Final = """
CREATE VIEW tally_identity AS SELECT identity_id, customer_no AS person_id FROM sim_identity;

CREATE VIEW tally_person AS SELECT
    customer_no AS person_id, full_name AS name, first_name AS given_name, last_name AS family_name,
    CAST(NULL AS VARCHAR(255)) AS middle_name, CAST(NULL AS VARCHAR(255)) AS nickname,
    CAST(NULL AS VARCHAR(255)) AS preferred_username, sex AS gender, born_on AS birthdate,
    time_zone AS zoneinfo, language AS locale, changed_at AS updated_at
FROM customer;

CREATE VIEW tally_email AS SELECT
    customer_no AS person_id, mail AS email, mail_checked AS email_verified
FROM customer WHERE mail IS NOT NULL;

CREATE VIEW tally_phone AS SELECT
    customer_no AS person_id, msisdn AS phone_number, (1 = 1) AS phone_number_verified
FROM line;

CREATE VIEW tally_address AS SELECT
    customer_no AS person_id, CAST(NULL AS VARCHAR(1024)) AS formatted, street AS street_address,
    city AS locality, province AS region, postcode AS postal_code, country
FROM customer WHERE street IS NOT NULL
"""

_CHANGED_AT: Final = 1_760_000_000


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """A line of demo_people.csv; empty fields are not on file."""

    customer_no: str
    name: str
    given_name: str
    family_name: str
    birthdate: str
    gender: str
    locale: str
    zoneinfo: str
    country: str
    street: str
    locality: str
    phone_number: str

    @property
    def email(self) -> str:
        return f"{self.customer_no.lower()}@people.example"

    def personal_texts(self) -> tuple[str, ...]:
        """What tells who it is, and so must be found nowhere but in the subscriber base."""
        told = (
            self.name,
            self.given_name,
            self.family_name,
            self.birthdate,
            self.street,
            self.phone_number,
            self.email,
        )
        return tuple(each for each in told if each)


def load_demo_people() -> tuple[DemoPerson, ...]:
    """All invented people, in order."""
    with files(__package__).joinpath("demo_people.csv").open(encoding="utf-8") as stream:
        return tuple(DemoPerson(f"C{number:06}", **row) for number, row in enumerate(csv.DictReader(stream), 1))


def create_demo_people(url: str) -> tuple[str, ...]:
    """Make tables, views and invented people in an empty database; the persons' ids, in order.

    Raises `SubscriberSettingError` when the database has something already, `SubscriberBaseUnavailableError`.
    """
    with _transaction(url) as connection:
        existing = inspect(connection).get_table_names()
        if existing:
            raise SubscriberSettingError(
                f"the database is not empty (table {existing[0]}): demo people need one of their own"
            )
        _METADATA.create_all(connection)
        for view in _VIEWS.split(";"):
            connection.execute(text(view))
        people = load_demo_people()
        connection.execute(insert(CUSTOMER), [_customer(person) for person in people])
        lines = [{"msisdn": person.phone_number, "customer_no": person.customer_no} for person in people]
        connection.execute(insert(LINE), lines)
    return tuple(person.customer_no for person in people)


def has_demo_people(url: str) -> bool:
    """Whether `create_demo_people` was here. Raises `SubscriberSettingError`, `SubscriberBaseUnavailableError`."""
    with _transaction(url) as connection:
        return inspect(connection).has_table(CUSTOMER.name)


def assign_identities(url: str, identities: Sequence[bytes]) -> dict[str, str]:
    """Give identities to demo people that have none yet, in order; identity id (hexadecimal) by person.

    Raises `SubscriberSettingError` for more identities than people without one.
    """
    with _transaction(url) as connection:
        taken = select(SIM_IDENTITY.c.customer_no)
        free = connection.execute(
            select(CUSTOMER.c.customer_no).where(CUSTOMER.c.customer_no.not_in(taken)).order_by(CUSTOMER.c.customer_no)
        ).scalars()
        people = list(free)[: len(identities)]
        if len(people) < len(identities):
            raise SubscriberSettingError(
                f"{len(identities)} identities, but only {len(people)} demo people without one: prepare fewer cards"
            )
        given = {person: identity.hex() for person, identity in zip(people, identities, strict=True)}
        rows = [{"identity_id": identity, "customer_no": person} for person, identity in given.items()]
        connection.execute(insert(SIM_IDENTITY), rows)
    return given


def _customer(person: DemoPerson) -> dict[str, object]:
    return {
        "customer_no": person.customer_no,
        "full_name": person.name,
        "first_name": person.given_name,
        "last_name": person.family_name,
        "born_on": date.fromisoformat(person.birthdate) if person.birthdate else None,
        "sex": person.gender,
        "language": person.locale,
        "time_zone": person.zoneinfo,
        "mail": person.email,
        "mail_checked": True,
        "street": person.street or None,
        "city": person.locality or None,
        "country": person.country if person.street else None,
        "changed_at": _CHANGED_AT,
    }


@contextmanager
def _transaction(url: str) -> Iterator[Connection]:
    try:
        engine = create_engine(url, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise SubscriberSettingError(
            "the database's address is none that SQLAlchemy knows, or its driver is not installed: "
            "see docs/subscribers.md",
            detail=type(error).__name__,
        ) from error
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise SubscriberBaseUnavailableError(
            "the database does not answer, or has not the demo tables: check that it is up, or make them",
            detail=type(error).__name__,
        ) from None
    finally:
        engine.dispose()
