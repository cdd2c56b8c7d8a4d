"""Tables. Secrets that come back to us (cookies, codes, tokens, handles) are kept as SHA-256 only.

Times are whole seconds since 1970. Whose row it is stands in `identity` (the ledger's id, 32 bytes) and `person` (the
operator's own key of a person).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA: Final = MetaData()

_ID = String(64)
_DIGEST = LargeBinary(32)

CLIENTS: Final = Table(
    "client",
    METADATA,
    Column("client_id", String(128), primary_key=True),
    Column("registration", JSON, nullable=False),
    Column("record", Text, nullable=False),  # what the admitting member signed, as a compact JWS
    Column("secret_hash", _DIGEST),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("updated_at", Integer, nullable=False),
)
SUBJECTS: Final = Table(
    "subject",
    METADATA,
    Column("person", String(128), primary_key=True),
    Column("sector", String(255), primary_key=True),
    Column("sub", String(32), nullable=False, unique=True),
    Column("created_at", Integer, nullable=False),
)
SESSIONS: Final = Table(
    "session",
    METADATA,
    Column("session_id", _ID, primary_key=True),
    Column("secret_hash", _DIGEST, nullable=False, unique=True),
    Column("identity", _DIGEST),
    Column("person", String(128)),
    Column("auth_time", Integer),
    Column("acr", String(64)),
    Column("browser", String(64), nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("ended_at", Integer),
    Index("session_person", "person"),
    Index("session_identity", "identity"),
    Index("session_expiry", "expires_at"),
)
REQUESTS: Final = Table(
    "authorization_request",
    METADATA,
    Column("request_id", _ID, primary_key=True),
    Column("session_id", _ID, nullable=False),
    Column("client_id", String(128), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("completed_at", Integer),
    Index("authorization_request_expiry", "expires_at"),
)
CHALLENGES: Final = Table(
    "challenge",
    METADATA,
    Column("jti", _ID, primary_key=True),
    Column("request_id", ForeignKey("authorization_request.request_id", ondelete="CASCADE"), nullable=False),
    Column("session_id", _ID, nullable=False),
    Column("client_id", String(128), nullable=False),
    Column("session_hash", _DIGEST, nullable=False),
    Column("code", String(6), nullable=False),
    Column("ctx_salt", _DIGEST, nullable=False),
    Column("leaf_salt", _DIGEST, nullable=False),
    Column("state", String(12), nullable=False),
    Column("tries_left", Integer, nullable=False),
    Column("mode", String(8)),  # from here on known when an agent has fetched it
    Column("identity", _DIGEST),
    Column("person", String(128)),
    Column("agent", _ID),
    Column("fetched", JSON),
    Column("issued_at", Integer),
    Column("granted", JSON),
    Column("completion_hash", _DIGEST),
    Column("approved_at", Integer),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Index("challenge_request", "request_id"),
    Index(
        "challenge_completion",
        "completion_hash",
        sqlite_where=text("completion_hash IS NOT NULL"),
        postgresql_where=text("completion_hash IS NOT NULL"),
    ),
    Index("challenge_identity", "identity"),
    Index("challenge_expiry", "expires_at"),
)
HANDLES: Final = Table(
    "handle",
    METADATA,
    Column("handle_hash", _DIGEST, primary_key=True),
    Column("jti", ForeignKey("challenge.jti", ondelete="CASCADE"), nullable=False),
    Column("mode", String(8), nullable=False),
    Column("secret_hash", _DIGEST),
    Column("expires_at", Integer, nullable=False),
    Index("handle_challenge", "jti"),
)
APPROVALS: Final = Table(
    "approval",
    METADATA,
    Column("jti", _ID, primary_key=True),
    Column("identity", _DIGEST, nullable=False),
    Column("client_id", String(128), nullable=False),
    Column("agent", _ID, nullable=False),
    Column("jws", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("ctx_salt", _DIGEST, nullable=False),
    Column("leaf_salt", _DIGEST, nullable=False),
    Column("public_key", LargeBinary(64), nullable=False),
    Column("block", Integer, nullable=False),
    Column("acr", String(64), nullable=False),
    Column("approved_at", Integer, nullable=False),
    Index("approval_identity", "identity"),
)
AGENTS: Final = Table(
    "agent",
    METADATA,
    Column("agent_id", _ID, primary_key=True),
    Column("token_hash", _DIGEST, nullable=False, unique=True),
    Column("thumbprint", _ID, nullable=False),
    Column("identity", _DIGEST, nullable=False),
    Column("public_jwk", JSON, nullable=False),
    Column("label", String(64), nullable=False),
    Column("enrolment", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("last_seen_at", Integer, nullable=False),
    Column("revoked_at", Integer),
    Index("agent_identity", "identity"),
)
BLOCKED_APPS: Final = Table(
    "blocked_app",
    METADATA,
    Column("identity", _DIGEST, primary_key=True),
    Column("client_id", String(128), primary_key=True),
    Column("blocked_at", Integer, nullable=False),
)
DENIALS: Final = Table(  # logins of which a person's agent said that the person did not begin them
    "denial",
    METADATA,
    Column("denial_id", Integer, primary_key=True, autoincrement=True),
    Column("identity", _DIGEST, nullable=False),
    Column("app_name", String(255), nullable=False),
    Column("browser", String(64), nullable=False),
    Column("denied_at", Integer, nullable=False),
    Index("denial_identity", "identity"),
    Index("denial_time", "denied_at"),
)
GRANTS: Final = Table(
    "consent_grant",
    METADATA,
    Column("grant_id", _ID, primary_key=True),
    Column("person", String(128), nullable=False),
    Column("identity", _DIGEST, nullable=False),
    Column("client_id", String(128), nullable=False),
    Column("sub", String(32), nullable=False),
    Column("controller", String(255), nullable=False),
    Column("granted", JSON, nullable=False),
    Column("refused", JSON, nullable=False),
    Column("purpose", JSON, nullable=False),
    Column("language", String(8), nullable=False),
    Column("text_digest", _DIGEST, nullable=False),
    Column("approval", _ID, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("withdrawn_at", Integer),
    Index("consent_grant_person", "person", "client_id"),
)
CLIENT_SESSIONS: Final = Table(
    "client_session",
    METADATA,
    Column("sid", _ID, primary_key=True),
    Column("session_id", _ID, nullable=False),
    Column("client_id", String(128), nullable=False),
    Column("sub", String(32), nullable=False),
    Column("grant_id", _ID, nullable=False),
    Column("acr", String(64), nullable=False),
    Column("auth_time", Integer, nullable=False),
    Column("single_sign_on_until", Integer, nullable=False),
    Column("approval", _ID, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("ended_at", Integer),
    UniqueConstraint("session_id", "client_id"),
)
FAMILIES: Final = Table(
    "token_family",
    METADATA,
    Column("family_id", _ID, primary_key=True),
    Column("client_id", String(128), nullable=False),
    Column("grant_id", _ID, nullable=False),
    Column("session_id", _ID, nullable=False),
    Column("sid", _ID, nullable=False),
    Column("identity", _DIGEST, nullable=False),
    Column("person", String(128), nullable=False),
    Column("sub", String(32), nullable=False),
    Column("scope", Text, nullable=False),
    Column("id_token_claims", JSON, nullable=False),
    Column("userinfo_claims", JSON, nullable=False),
    Column("nonce", String(512)),
    Column("acr", String(64), nullable=False),
    Column("auth_time", Integer, nullable=False),
    Column("approval", _ID, nullable=False),
    Column("is_offline", Boolean, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("revoked_at", Integer),
    Index("token_family_grant", "grant_id"),
    Index("token_family_session", "session_id"),
    Index("token_family_identity", "identity"),
    Index("token_family_created", "created_at"),
)
CODES: Final = Table(
    "code",
    METADATA,
    Column("code_hash", _DIGEST, primary_key=True),
    Column("family_id", ForeignKey("token_family.family_id", ondelete="CASCADE"), nullable=False),
    Column("client_id", String(128), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", String(64)),
    Column("expires_at", Integer, nullable=False),
    Column("used_at", Integer),
    Index("code_family", "family_id"),
)
ACCESS_TOKENS: Final = Table(
    "access_token",
    METADATA,
    Column("token_hash", _DIGEST, primary_key=True),
    Column("family_id", ForeignKey("token_family.family_id", ondelete="CASCADE"), nullable=False),
    Column("scope", Text, nullable=False),
    Column("issued_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("revoked_at", Integer),
    Index("access_token_family", "family_id"),
    Index("access_token_expiry", "expires_at"),
)
REFRESH_TOKENS: Final = Table(
    "refresh_token",
    METADATA,
    Column("token_hash", _DIGEST, primary_key=True),
    Column("family_id", ForeignKey("token_family.family_id", ondelete="CASCADE"), nullable=False),
    Column("issued_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("used_at", Integer),
    Index("refresh_token_family", "family_id"),
)
RELEASES: Final = Table(
    "release",
    METADATA,
    Column("release_id", Integer, primary_key=True, autoincrement=True),
    Column("grant_id", _ID, nullable=False),
    Column("client_id", String(128), nullable=False),
    Column("items", JSON, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("released_at", Integer, nullable=False),
    Index("release_grant", "grant_id"),
)
LOGOUT_QUEUE: Final = Table(
    "logout_notice",
    METADATA,
    Column("notice_id", _ID, primary_key=True),
    Column("client_id", String(128), nullable=False),
    Column("sub", String(32), nullable=False),
    Column("sid", _ID),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Integer, nullable=False),
    Column("done_at", Integer),
    Column("outcome", String(64), nullable=False),
    Column("created_at", Integer, nullable=False),
    Index("logout_notice_due", "done_at", "due_at"),
)
HOLDS: Final = Table(
    "identity_hold",
    METADATA,
    Column("identity", _DIGEST, primary_key=True),
    Column("placed_at", Integer, nullable=False),
    Column("on_ledger_at", Integer),
)
SEEN: Final = Table(
    "seen_once",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("value_hash", _DIGEST, primary_key=True),
    Column("expires_at", Integer, nullable=False),
    Index("seen_once_expiry", "expires_at"),
)
CURSORS: Final = Table(
    "cursor",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", Integer, nullable=False),
)
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("audit_id", Integer, primary_key=True, autoincrement=True),
    Column("at", Integer, nullable=False),
    Column("act", String(64), nullable=False),
    Column("facts", JSON, nullable=False),
)

NEWEST: Final = DENIALS
"""The table that was added last: where it is missing, what was added since is made."""
