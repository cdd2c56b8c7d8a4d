"""The subscriber base on both kinds of database: what is asked for and on file is answered, and nothing else."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from identity_oidc.subscribers.base import CLAIMS, IdentityId, PersonId, SubscriberBase
from identity_oidc.subscribers.demo import assign_identities, create_demo_people, load_demo_people
from identity_oidc.subscribers.errors import (
    SubscriberBaseUnavailableError,
    SubscriberDataError,
    SubscriberSettingError,
)
from identity_oidc.subscribers.sql import SqlSubscriberBase
from identity_oidc.subscribers.views import VIEWS

ADA, FRANK, XIAOZHOU, YUAN = (PersonId(f"C{number:06}") for number in (1, 6, 7, 10))


@pytest.fixture
def base(database: str) -> Iterator[SqlSubscriberBase]:
    create_demo_people(database)
    opened = SqlSubscriberBase.open(database)
    yield opened
    opened.close()


@pytest.fixture
def owner(base: SqlSubscriberBase, database: str) -> Iterator[Engine]:
    """The operator's own hand in its database."""
    engine = create_engine(database)
    yield engine
    engine.dispose()


def change(owner: Engine, statement: str) -> None:
    with owner.begin() as connection:
        connection.execute(text(statement))


def test_it_is_what_the_port_asks_for(base: SqlSubscriberBase) -> None:
    port: SubscriberBase = base
    assert port.claims(ADA, ()) == {}
    base.check()


def test_claims_one_by_one(base: SqlSubscriberBase) -> None:
    assert base.claims(ADA, ["given_name"]) == {"given_name": "Ada"}
    everything = base.claims(XIAOZHOU, CLAIMS)
    assert everything == {
        "name": "闻人晓舟",
        "given_name": "晓舟",
        "family_name": "闻人",
        "gender": "female",
        "birthdate": "1988-05-06",
        "zoneinfo": "Asia/Shanghai",
        "locale": "zh-CN",
        "updated_at": 1_760_000_000,
        "email": "c000007@people.example",
        "email_verified": True,
        "phone_number": "+861000000107",
        "phone_number_verified": True,
        "address": {"street_address": "柳塘路12号", "locality": "云溪市", "country": "中国"},
    }
    for name in CLAIMS:
        assert base.claims(XIAOZHOU, [name]) == {key: value for key, value in everything.items() if key == name}


def test_what_is_not_on_file_is_left_out(base: SqlSubscriberBase) -> None:
    assert base.claims(FRANK, ["birthdate", "nickname", "name"]) == {"name": "Frank Delacroix-Moss"}
    assert "address" not in base.claims(YUAN, CLAIMS)
    assert base.claims(PersonId("nobody"), CLAIMS) == {}


def test_no_other_claim_can_be_asked_for(base: SqlSubscriberBase) -> None:
    with pytest.raises(ValueError, match="no such claim: customer_no"):
        base.claims(ADA, ["name", "customer_no"])


def test_only_the_views_of_the_claims_are_read(base: SqlSubscriberBase, owner: Engine) -> None:
    change(owner, "DROP VIEW tally_phone")
    assert base.claims(ADA, ["name", "email"])["name"] == "Ada Thornbury"
    with pytest.raises(SubscriberBaseUnavailableError, match="tally_phone"):
        base.claims(ADA, ["name", "phone_number"])
    with pytest.raises(SubscriberBaseUnavailableError, match="tally_phone"):
        base.check()


def test_identities_of_a_person(base: SqlSubscriberBase, database: str, owner: Engine) -> None:
    first, second, other = (IdentityId(secrets.token_bytes(32)) for _ in range(3))
    given = assign_identities(database, [first, other])
    assert given == {ADA: first.hex(), "C000002": other.hex()}
    assert base.person_of(first) == ADA
    assert base.person_of(second) is None
    change(owner, f"INSERT INTO sim_identity VALUES ('{second.hex()}', '{ADA}')")  # noqa: S608 - ours
    assert base.identities_of(ADA) == tuple(sorted((first, second)))
    assert base.identities_of(XIAOZHOU) == ()
    change(owner, f"DELETE FROM sim_identity WHERE identity_id = '{first.hex()}'")  # noqa: S608 - ours
    assert base.person_of(first) is None


def test_more_identities_than_people(database: str) -> None:
    create_demo_people(database)
    many = [secrets.token_bytes(32) for _ in range(len(load_demo_people()) + 1)]
    with pytest.raises(SubscriberSettingError, match="prepare fewer cards"):
        assign_identities(database, many)
    assert len(assign_identities(database, many[:-1])) == len(many) - 1


def test_person_of_a_number(base: SqlSubscriberBase, owner: Engine) -> None:
    assert base.person_with_phone_number("+861000000107") == XIAOZHOU
    assert base.person_with_phone_number("+861000000999") is None
    assert base.person_with_phone_number("' OR 1=1 --") is None
    change(owner, "DROP VIEW tally_phone")
    change(
        owner,
        "CREATE VIEW tally_phone AS SELECT customer_no AS person_id, msisdn AS phone_number,"
        " (1 = 0) AS phone_number_verified FROM line",
    )
    assert base.person_with_phone_number("+861000000107") is None, "found by a number that nobody verified"
    change(owner, "DROP VIEW tally_phone")
    change(
        owner,
        "CREATE VIEW tally_phone AS SELECT customer_no AS person_id, '+861000000107' AS phone_number,"
        " (1 = 1) AS phone_number_verified FROM line",
    )
    assert base.person_with_phone_number("+861000000107") is None, "a number of several persons is nobody's"


@pytest.mark.parametrize(
    ("statement", "claim", "column"),
    [
        ("UPDATE customer SET full_name = 'Ada' || chr(8238)", "name", "tally_person.name"),
        ("UPDATE customer SET full_name = ''", "name", "tally_person.name"),
        ("UPDATE customer SET language = 'English, please'", "locale", "tally_person.locale"),
        ("UPDATE customer SET changed_at = -1", "updated_at", "tally_person.updated_at"),
        ("UPDATE customer SET mail = 'no address'", "email", "tally_email.email"),
        ("UPDATE line SET msisdn = '07700900101' WHERE customer_no = 'C000001'", "phone_number", "tally_phone.phone"),
        ("UPDATE customer SET city = 'A' || chr(7)", "address", "tally_address.locality"),
    ],
)
def test_a_value_of_another_form_is_not_released(
    base: SqlSubscriberBase, owner: Engine, statement: str, claim: str, column: str
) -> None:
    assert claim in base.claims(ADA, CLAIMS)
    if owner.dialect.name == "sqlite":
        statement = re.sub(r"chr\((\d+)\)", r"char(\1)", statement)
    change(owner, statement)
    with pytest.raises(SubscriberDataError, match=column) as caught:
        base.claims(ADA, [claim])
    shown = f"{caught.value.message} {caught.value.detail} {caught.value.__cause__}"
    assert not any(each in shown for each in ("Ada", "English", "no address", "07700")), "the value is in the error"
    assert base.claims(ADA, [other for other in ("gender", "birthdate") if other != claim])


def test_two_rows_for_one_person_are_no_answer(base: SqlSubscriberBase, owner: Engine) -> None:
    change(owner, "DROP VIEW tally_email")
    change(
        owner,
        f"CREATE VIEW tally_email AS SELECT '{ADA}' AS person_id, mail AS email, mail_checked AS email_verified"  # noqa: S608
        " FROM customer",
    )
    with pytest.raises(SubscriberDataError, match="several rows"):
        base.claims(ADA, ["email"])


def test_the_connection_is_read_only(base: SqlSubscriberBase) -> None:
    with base._engine.connect() as connection, pytest.raises(Exception, match=r"read.?only"):
        connection.execute(text("DELETE FROM line"))
    assert base.claims(ADA, ["phone_number"])


def test_database_away(tmp_path: Path) -> None:
    with pytest.raises(SubscriberBaseUnavailableError):
        SqlSubscriberBase.open(f"sqlite:///{tmp_path / 'none.sqlite'}").check()
    away = SqlSubscriberBase.open(f"postgresql+pg8000://tally@/people?unix_sock={tmp_path}/none")
    with pytest.raises(SubscriberBaseUnavailableError, match="check that the database is up"):
        away.claims(ADA, ["name"])


@pytest.mark.parametrize("url", ["people.sqlite", "sqlite://", "mysql://tally@/people", "oracle+nothing://x", ""])
def test_address_that_is_none(url: str) -> None:
    with pytest.raises(SubscriberSettingError):
        SqlSubscriberBase.open(url)


def test_demo_people_go_into_an_empty_database_only(database: str) -> None:
    create_demo_people(database)
    with pytest.raises(SubscriberSettingError, match="not empty"):
        create_demo_people(database)


def test_every_view_and_column_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "subscribers.md").read_text(encoding="utf-8")
    for view in VIEWS:
        assert f"`{view.name}`" in page
        assert all(f"`{column.name}`" in page for column in view.columns)
