"""`/v1/orders`: relaying what administrators and duty accounts signed."""

from __future__ import annotations

import re
from typing import Any, Final

from flask import Blueprint, Response

from pki_chain.errors import InputError, NotFoundError, RefusedError, TallyError
from pki_chain.gateway.answers import client, json_answer, limit_writes, posted_object
from pki_chain.gateway.inbox import InboxState, StoredOrder, order_id
from pki_chain.gateway.order_forms import read_order
from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.gateway.services import services

orders = Blueprint("orders", __name__)

_ID: Final = re.compile(r"[0-9a-f]{32}")


@orders.post("/v1/orders")
def order() -> Response:
    """202 once the order is on disk; 409 with the contract's own error where the ledger would refuse it now."""
    limit_writes()
    parts = services()
    fields = posted_object()
    try:
        kind, call = read_order(fields, parts.calls)
    except EnvelopeError:
        raise
    except InputError as error:
        raise EnvelopeError(400, "bad-field", error.message, detail=error.detail) from error
    stored = parts.inbox.order(order_id(call.to, call.data))
    if stored is None or stored.state is InboxState.FAILED:
        try:
            parts.simulate(call)
        except RejectedError:
            raise
        except RefusedError as error:
            parts.audit.record("order", client(), "refused", kind=kind, reason=error.message[:500])
            raise RejectedError(
                409, "refused", f"The ledger refuses this order: {error.message}", detail=error.detail
            ) from error
        stored = parts.inbox.put_order(kind, call.to, call.data, call.gas, int(parts.freshness.now()))
    parts.audit.record("order", client(), "acknowledged", kind=kind, id=stored.id)
    response = json_answer(_order_content(stored), 202)
    response.headers["Location"] = f"/v1/orders/{stored.id}"
    return response


@orders.get("/v1/orders/<identifier>")
def order_state(identifier: str) -> Response:
    """How far an order has come."""
    if not _ID.fullmatch(identifier):
        raise EnvelopeError(400, "bad-order-id", "An order is named by its id: 32 lower-case hexadecimal digits.")
    stored = services().inbox.order(identifier)
    if stored is None:
        raise NotFoundError(f"This gateway took no order {identifier}. Ask the gateway that took it.")
    return json_answer(_order_content(stored))


def _shown_state(stored: StoredOrder) -> str:
    """Done only once this gateway's own answers show it, so that who waits for it and then asks sees it."""
    if stored.state is InboxState.DONE and stored.block_number is not None:
        try:
            reached = services().read_model.head().number
        except TallyError:
            return InboxState.DONE.value  # status is answered by nobody here, so nothing contradicts it
        if reached < stored.block_number:
            return InboxState.SENT.value
    return stored.state.value


def _order_content(stored: StoredOrder) -> dict[str, Any]:
    return {
        "id": stored.id,
        "order": stored.kind,
        "state": _shown_state(stored),
        "received_at": stored.received_at,
        "transaction": "0x" + stored.transaction_hash.hex()
        if stored.transaction_hash is not None and stored.state is not InboxState.STORED
        else None,
        "reason": stored.failure or None,
    }
