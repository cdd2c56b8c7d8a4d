"""The gateway's application."""

from __future__ import annotations

import time
from typing import Final

from flask import Flask, Response, request

from pki_chain.config import MemberConfig
from pki_chain.gateway import problems
from pki_chain.gateway.authorities import authorities
from pki_chain.gateway.certificates import certificates
from pki_chain.gateway.freshness import Clock
from pki_chain.gateway.front import MAX_BODY_BYTES, Front
from pki_chain.gateway.identities import identities
from pki_chain.gateway.ocsp_cache import OcspCache
from pki_chain.gateway.operations import operations
from pki_chain.gateway.orders import orders
from pki_chain.gateway.proofs import proofs
from pki_chain.gateway.registers import registers
from pki_chain.gateway.relying import relying
from pki_chain.gateway.services import EXTENSION, Services
from pki_chain.gateway.status_answers import StatusCache
from pki_chain.gateway.submissions import submissions

_ROUTE_OF: Final = {
    "certificates.status": "status",
    "certificates.bulk_status": "bulk_status",
    "certificates.certificate": "certificate",
    "certificates.look_up": "lookup",
    "proofs.proof": "proof",
    "submissions.submit": "submit",
    "submissions.submission": "submission",
    "authorities.listed": "list",
    "authorities.authority": "lookup",
    "relying.ocsp": "ocsp",
    "relying.ocsp_in_path": "ocsp",
    "relying.crls": "crl",
    "relying.crl": "crl",
    "relying.authority_crl": "crl",
    "relying.signers": "bundle",
    "relying.manifest": "bundle",
    "relying.bundle": "bundle",
    "relying.changes": "changes",
    "relying.expiries": "list",
    "orders.order": "order",
    "orders.order_state": "order_state",
}


def create_app(config: MemberConfig, clock: Clock = time.time) -> Flask:
    """Build the application. Raises `ConfigurationError`, `StorageError`."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False  # merging sends the client to an address made of its own Host header
    parts = Services.build(config, clock)
    app.extensions[EXTENSION] = parts
    problems.register(app)
    for blueprint in (
        certificates,
        proofs,
        submissions,
        orders,
        registers,
        relying,
        identities,
        authorities,
        operations,
    ):
        app.register_blueprint(blueprint)

    @app.after_request
    def finish(response: Response) -> Response:
        endpoint = request.endpoint or ""
        group = {"registers": "list", "operations": "operation"}.get(endpoint.partition(".")[0], "other")
        parts.counters.count(_ROUTE_OF.get(endpoint, group), response.status_code)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return app


def create_front(config: MemberConfig, clock: Clock = time.time) -> Front:
    """The application as the HTTP server takes it. Raises as `create_app`."""
    app = create_app(config, clock)
    parts: Services = app.extensions[EXTENSION]
    ocsp = OcspCache(parts.ocsp_answers, parts.read_model, parts.change_log, parts.freshness)
    proxies = config.gateway.trusted_proxies
    status = StatusCache(parts.status_answers, parts.read_model)
    return Front(app.wsgi_app, status, parts.counters, ocsp, trusted_proxies=proxies)
