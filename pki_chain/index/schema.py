"""Tables of the read model: what the events of the ledger said, arranged for questions.

One database has one writer, the indexer, and any number of readers. Maps (bit i is entry i) are 32 octets, big endian;
nonces likewise; times are seconds since 1970. Everything here can be thrown away and built again from the ledger.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from sqlite_utils import Database

SCHEMA_VERSION: Final = 5

TABLES: Final[dict[str, tuple[dict[str, type], str | tuple[str, ...]]]] = {
    # `fault` is set once the ledger contradicted what is stored: then nobody answers until a rebuild.
    "head": (
        {"id": int, "number": int, "hash": bytes, "parent_hash": bytes, "time": int, "fault": str},
        "id",
    ),
    "blocks": ({"number": int, "hash": bytes, "parent_hash": bytes, "time": int}, "number"),
    "members": ({"id": int, "kind": int, "state": int, "name": str, "changed_at": int}, "id"),
    "accounts": ({"address": str, "member": int, "role": int, "active": int, "changed_at": int}, "address"),
    "name_spaces": ({"member": int, "kind": int, "bits": int, "value": bytes}, ("member", "kind", "bits", "value")),
    "profiles": ({"id": int, "content": str}, "id"),
    "electorates": ({"number": int, "members": str, "quorum": int}, "number"),
    "parameters": (
        {
            "id": int,
            "age_bound_s": int,
            "cut_off_s": int,
            "emergency_hold_h": int,
            "delay_s": int,
            "governance_window_s": int,
        },
        "id",
    ),
    "proposals": (
        {
            "id": int,
            "member": int,
            "kind": int,
            "content_hash": bytes,
            "content": bytes,
            "made_at": int,
            "expires_at": int,
            "executable_at": int,
            "executed_at": int,
        },
        "id",
    ),
    "votes": ({"proposal": int, "member": int, "support": int, "cast_at": int}, ("proposal", "member")),
    "lots": (
        {
            "id": int,
            "owner": int,
            "profile": int,
            "maximum": int,
            "used": int,
            "closes_at": int,
            "closed": int,
            "opened_at": int,
            "opened_by": str,
            "stations": str,
            "ranges": str,
        },
        "id",
    ),
    "batches": (
        {
            "id": int,
            "digest": bytes,
            "station": str,
            "profile": int,
            "lot": int,
            "nonce": bytes,
            "deadline": int,
            "station_member": int,
            "lot_owner": int,
            "electorate": int,
            "k": int,
            "n": int,
            "count": int,
            "present": bytes,
            "accepted": bytes,
            "rejected": bytes,
            "submitted_at": int,
            "window_end": int,
            "decided_at": int,
            "settled_at": int,
            "transaction_hash": bytes,
        },
        "id",
    ),
    "entries": (
        {"batch": int, "entry": int, "certificate": bytes, "entry_hash": bytes, "refused": int},
        ("batch", "entry"),
    ),
    "endorsements": (
        {
            "batch": int,
            "member": int,
            "endorser": str,
            "accepts": bytes,
            "abstains": bytes,
            "reasons": str,
            "endorsed_at": int,
        },
        ("batch", "member"),
    ),
    "certificates": (
        {
            "id": bytes,
            "sha256": bytes,
            "spki_sha256": bytes,
            # The CA that issued it, as it stood then; NULL for a self-signed one.
            "authority": bytes,
            # Of the CA's list (pki_chain.status.list_address); NULL where the certificate names none.
            "list_part": int,
            # Of the bits of the issuer's key alone, as OCSP names it (RFC 6960 §4.1.1).
            "key_sha1": bytes,
            "key_sha256": bytes,
            "issuer": bytes,
            "serial": str,
            "not_before": int,
            "not_after": int,
            "profile": int,
            "lot": int,
            "batch": int,
            "entry": int,
            "state": int,
            "flags": int,
            "hold_counter": int,
            "reason": int,
            "changed_at": int,
            "emergency_until": int,
            # The state that the change feed told last; 0 before it told any.
            "told": int,
            "der": bytes,
        },
        "id",
    ),
    "changes": ({"position": int, "kind": str, "certificate": bytes, "reason": int}, "position"),
    "names": ({"certificate": bytes, "kind": str, "value": str}, ("certificate", "kind", "value")),
    "key_blocks": ({"spki_sha256": bytes, "reason": int, "by_proof": int, "blocked_at": int}, "spki_sha256"),
    # Roots and issuing CAs; `number` counts them. `withdrawn_at` and `reason` are also a parent's.
    "authorities": (
        {
            "id": bytes,
            "number": int,
            "member": int,
            "parent": bytes,
            "scope": int,
            "trusted_from": int,
            "trusted_until": int,
            "path_length": int,
            "der": bytes,
            "sha256": bytes,
            "subject": bytes,
            "key_identifier": bytes,
            "spki_sha256": bytes,
            "key_sha1": bytes,
            "key_sha256": bytes,
            "published_at": int,
            "withdrawn_at": int,
            "reason": int,
        },
        "id",
    ),
    # How many certificates of a CA name a part of its list.
    "list_parts": ({"authority": bytes, "part": int, "certificates": int}, ("authority", "part")),
    # What certificates of a CA have as addresses of a part of its list, just as they have it.
    "list_addresses": ({"authority": bytes, "part": int, "address": str}, ("authority", "part", "address")),
    "delegations": (
        {
            "id": bytes,
            "authority": bytes,
            "kind": int,
            "der": bytes,
            "sha256": bytes,
            "spki_sha256": bytes,
            "not_before": int,
            "not_after": int,
            "published_at": int,
            "withdrawn_at": int,
            "reason": int,
        },
        "id",
    ),
    # People's identities; next_* is the key of a waiting replacement, next_x NULL where none waits.
    "identities": (
        {
            "id": bytes,
            "operator": int,
            "x": bytes,
            "y": bytes,
            "spki_sha256": bytes,
            "attestation": int,
            "card_enforced": int,
            "emulator": int,
            "held": int,
            "revoked": int,
            "reason": int,
            "counter": int,
            "key_count": int,
            "registered_at": int,
            "key_since": int,
            "activated_at": int,
            "changed_at": int,
            "next_x": bytes,
            "next_y": bytes,
            "next_attestation": int,
            "next_card_enforced": int,
            "next_emulator": int,
            "next_by": str,
            "next_at": int,
        },
        "id",
    ),
    "identity_keys": (
        {
            "identity": bytes,
            "number": int,
            "x": bytes,
            "y": bytes,
            "attestation": int,
            "card_enforced": int,
            "emulator": int,
            "since": int,
            "until": int,
            "by_old_key": int,
        },
        ("identity", "number"),
    ),
    "identity_changes": ({"position": int, "kind": str, "identity": bytes, "time": int}, "position"),
}

INDEXES: Final = (
    ("accounts", ("member",), False),
    ("batches", ("digest",), False),
    ("batches", ("nonce",), False),
    ("batches", ("settled_at", "window_end"), False),
    ("entries", ("certificate",), False),
    ("certificates", ("sha256",), True),
    ("certificates", ("spki_sha256",), False),
    ("certificates", ("key_sha1", "serial"), False),
    ("certificates", ("key_sha256", "serial"), False),
    ("certificates", ("issuer", "serial"), False),
    ("certificates", ("told", "profile"), False),
    ("certificates", ("emergency_until",), False),
    ("certificates", ("not_after",), False),
    ("certificates", ("lot",), False),
    ("certificates", ("batch",), False),
    ("certificates", ("authority", "told", "list_part"), False),
    ("authorities", ("subject", "key_identifier"), False),
    ("authorities", ("parent",), False),
    ("authorities", ("key_sha1",), False),
    ("authorities", ("key_sha256",), False),
    ("delegations", ("authority", "kind"), False),
    ("names", ("value",), False),
    ("identities", ("spki_sha256",), False),
    ("identity_keys", ("x",), True),
)


def open_writer(path: Path) -> Database:
    """Open the read model for its one writer, making the tables where there are none.

    What a commit returned from survives a loss of power (WAL with synchronous FULL).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        database = Database(connection, execute_plugins=False)
        _create_tables(database)
    except BaseException:
        connection.close()
        raise
    return database


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the read model read-only. Raises `sqlite3.OperationalError` while the database does not exist."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5)
    try:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA cache_size=-16384")
    except BaseException:
        connection.close()
        raise
    return connection


def discard(path: Path) -> None:
    """Remove the read model, whole or damaged."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _create_tables(database: Database) -> None:
    with database.atomic():
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        for name in database.table_names():  # an older shape: the ledger has everything, so begin again
            database.execute(f"DROP TABLE [{name}]")
        for name, (columns, key) in TABLES.items():
            database.create_table(name, columns, pk=key)
        for table, indexed, unique in INDEXES:
            database.table(table).create_index(indexed, unique=unique)
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
