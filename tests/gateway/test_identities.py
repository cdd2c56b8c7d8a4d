"""`/v1/identities` over the read model, and what an agent and a provider make of the answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points

import pytest

from pki_chain import ports
from pki_chain.errors import ConfigurationError, InputError, LedgerUnavailableError
from pki_chain.identity.directory import IdentityDirectory
from pki_chain.identity.watch import GatewayWatch
from pki_chain.index.identity_records import spki_hash
from pki_chain.ports import Attestation, IdentityState, MemberState
from tests.gateway.conftest import Gateway, problem_code
from tests.index.recorded_ledger import KINDS, MEMBER_NAMES, OPERATOR
from tests.index.test_identities import BY, ID, OTHER_ID, card_key, registered

PATH = f"/v1/identities/0x{ID.hex()}"
UNKNOWN = f"/v1/identities/0x{'77' * 32}"


@pytest.fixture
def active(gateway: Gateway) -> Gateway:
    """A gateway that knows an active identity, and one that is registered."""
    gateway.ledger.mine([registered(), ports.IdentityActivated(ID, OPERATOR, BY), registered(OTHER_ID, 3)])
    gateway.catch_up()
    return gateway


def test_an_identity(active: Gateway) -> None:
    answer = active.client.get(PATH)
    assert answer.status_code == 200
    content = answer.get_json()
    key = card_key(1)
    assert content["key"] == {
        "kty": "EC",
        "crv": "P-256",
        "x": base64.urlsafe_b64encode(key.x).rstrip(b"=").decode(),
        "y": base64.urlsafe_b64encode(key.y).rstrip(b"=").decode(),
    }
    assert content["state"] == "active"
    assert content["attestation"] == "personaliser"
    assert (content["card_enforced"], content["emulator"], content["key_blocked"]) == (True, False, False)
    assert (content["operator"], content["operator_state"]) == (OPERATOR, "active")
    assert content["replacement"] is None
    assert content["block"]["number"] == active.ledger.head().number
    assert content["age_s"] == 1.0
    assert "max-age" in answer.headers["Cache-Control"]


def test_unknown_is_an_answer_too(active: Gateway) -> None:
    answer = active.client.get(UNKNOWN)
    assert problem_code(answer, 404) == "not-found"
    assert answer.get_json()["age_s"] == 1.0, "it says how old it is, as the answer about a known one does"
    assert answer.get_json()["block"]["number"] == active.ledger.head().number
    assert problem_code(active.client.get(UNKNOWN + "/keys"), 404) == "not-found"


@pytest.mark.parametrize("identity", ["0x11", ID.hex(), "0x" + "AA" * 32, "0x" + "11" * 33, "x"])
def test_an_id_of_another_form(active: Gateway, identity: str) -> None:
    assert problem_code(active.client.get(f"/v1/identities/{identity}"), 400) == "bad-identity"
    assert problem_code(active.client.get(f"/v1/identities/{identity}/keys"), 400) == "bad-identity"


@pytest.mark.parametrize("path", [PATH, PATH + "/keys", UNKNOWN, "/v1/identities/changes"])
def test_stale_is_never_answered(active: Gateway, path: str) -> None:
    active.clock.seconds += 60
    assert problem_code(active.client.get(path), 503) == "stale"


def test_the_history_of_keys(active: Gateway) -> None:
    active.ledger.mine([ports.IdentityKeyReplaced(ID, OPERATOR, BY, 1, card_key(2), by_old_key=True, counter=1)])
    active.catch_up()
    keys = active.client.get(PATH + "/keys").get_json()["keys"]
    assert [key["index"] for key in keys] == [0, 1]
    assert keys[0]["until"] == keys[1]["since"]
    assert keys[1]["until"] is None
    assert [key["by_old_key"] for key in keys] == [False, True]
    assert active.client.get(PATH).get_json()["state"] == "registered"


def test_the_feed(active: Gateway) -> None:
    first = active.client.get("/v1/identities/changes?limit=2").get_json()
    assert [change["kind"] for change in first["changes"]] == ["registered", "activated"]
    assert first["more"]
    rest = active.client.get(f"/v1/identities/changes?after={first['cursor']}").get_json()
    assert [change["identity"] for change in rest["changes"]] == ["0x" + OTHER_ID.hex()]
    assert not rest["more"]
    nothing = active.client.get(f"/v1/identities/changes?after={rest['cursor']}").get_json()
    assert (nothing["changes"], nothing["cursor"]) == ([], rest["cursor"])


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=1&after=2", "limit=0", "limit=1001", "limit=x", "a=1"])
def test_a_bad_cursor(active: Gateway, query: str) -> None:
    assert problem_code(active.client.get(f"/v1/identities/changes?{query}"), 400) in {"bad-cursor", "bad-query"}


def test_a_cursor_ahead_of_this_gateway(active: Gateway) -> None:
    ahead = (active.ledger.head().number + 2) << 20
    assert problem_code(active.client.get(f"/v1/identities/changes?after={ahead}"), 409) == "cursor-from-the-future"


# What a provider and an agent make of it, over a socket.


@pytest.fixture
def served(active: Gateway) -> Iterator[str]:
    """The gateway's address."""
    with _serve(lambda path: _ask(active, path)) as address:
        yield address


class _Server:
    def __init__(self, answer: Callable[[str], tuple[int, bytes]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


_serve = _Server


def _ask(gateway: Gateway, path: str) -> tuple[int, bytes]:
    response = gateway.client.get(path)
    return response.status_code, response.get_data()


def directory(gateway: Gateway, *addresses: str) -> IdentityDirectory:
    return IdentityDirectory(addresses, clock=gateway.clock)


def test_a_provider_reads_it(active: Gateway, served: str) -> None:
    found = directory(active, served).identity(ID)
    assert found is not None
    assert (found.state, found.key, found.operator) == (IdentityState.ACTIVE, card_key(1), OPERATOR)
    assert found.key.attestation is Attestation.PERSONALISER
    assert found.seen.block == active.ledger.head().number
    assert directory(active, served).identity(b"\x77" * 32) is None


def test_the_next_gateway_is_asked(active: Gateway, served: str) -> None:
    """One that is down, one that talks nonsense, one that answers about another identity."""
    other = _ask(active, f"/v1/identities/0x{OTHER_ID.hex()}")
    with _serve(lambda _: (200, b'{"identity": 1}')) as nonsense, _serve(lambda _: other) as mistaken:
        addresses = ("http://127.0.0.1:9", nonsense, mistaken)
        found = directory(active, *addresses, served).identity(ID)
        assert found is not None
        assert found.key == card_key(1)
        with pytest.raises(LedgerUnavailableError):
            directory(active, *addresses).identity(ID)


def test_no_stale_word_is_believed(active: Gateway, served: str) -> None:
    """Neither from a gateway that says that it is stale, nor from one that does not."""
    recorded = _ask(active, PATH)
    active.clock.seconds += 100
    with pytest.raises(LedgerUnavailableError, match="503"):
        directory(active, served).identity(ID)
    with _serve(lambda _: recorded) as replaying, pytest.raises(LedgerUnavailableError, match="s old"):
        directory(active, replaying).identity(ID)


def test_a_blocked_key_is_seen(active: Gateway, served: str) -> None:
    key = card_key(1)
    active.ledger.mine([ports.KeyBlocked(spki_hash(key.x, key.y), 1, by_proof=True)])
    active.catch_up()
    found = directory(active, served).identity(ID)
    assert found is not None
    assert found.is_key_blocked
    assert found.state is IdentityState.ACTIVE


def test_a_suspended_operator_is_seen(active: Gateway, served: str) -> None:
    name = MEMBER_NAMES[OPERATOR]
    active.ledger.mine([ports.MemberChanged(OPERATOR, KINDS[OPERATOR], MemberState.SUSPENDED, name)])
    active.catch_up()
    found = directory(active, served).identity(ID)
    assert found is not None
    assert found.operator_state == "suspended"


def watch(monkeypatch: pytest.MonkeyPatch, gateway: Gateway, *addresses: str) -> GatewayWatch:
    made = GatewayWatch(",".join(addresses), 3.0)
    monkeypatch.setattr(made._directory, "_clock", gateway.clock)
    return made


def test_an_agent_watches(active: Gateway, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sight = watch(monkeypatch, active, served).look("0x" + ID.hex())
    assert (sight.state, [key.x for key in sight.keys]) == ("active", [card_key(1).x])
    assert (sight.replacement_due_at, sight.replacement_key) == (0, None)
    due = active.ledger.time + 86_400
    active.ledger.mine([ports.ReplacementStarted(ID, OPERATOR, BY, card_key(2), due, 1)])
    active.catch_up()
    sight = watch(monkeypatch, active, served).look("0x" + ID.hex())
    assert (sight.state, sight.replacement_due_at) == ("active", due)
    assert sight.replacement_key is not None
    assert sight.replacement_key.x == card_key(2).x
    active.ledger.mine([ports.IdentityKeyReplaced(ID, OPERATOR, BY, 1, card_key(2), by_old_key=False, counter=2)])
    active.catch_up()
    sight = watch(monkeypatch, active, served).look("0x" + ID.hex())
    assert (sight.state, [key.x for key in sight.keys]) == ("registered", [card_key(1).x, card_key(2).x])
    unknown = watch(monkeypatch, active, served).look("0x" + "77" * 32)
    assert (unknown.state, unknown.keys) == ("unknown", ())


def test_the_agent_s_command_finds_it() -> None:
    """By its entry point, as `tally sim agent --gateway` looks for it: that package imports no code of this one."""
    (entry,) = {each.value: each for each in entry_points(group="tally.identity_watch", name="gateway")}.values()
    assert entry.load() is GatewayWatch


def test_a_gateway_that_hides_a_key_is_found_out(active: Gateway, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that lags is no contradiction; one whose history is another is."""
    before = {path: _ask(active, path) for path in (PATH, PATH + "/keys")}
    active.ledger.mine([ports.IdentityKeyReplaced(ID, OPERATOR, BY, 1, card_key(2), by_old_key=False, counter=1)])
    active.catch_up()
    with _serve(lambda path: before[path]) as lagging:
        sight = watch(monkeypatch, active, lagging, served).look("0x" + ID.hex())
        assert len(sight.keys) == 2
        assert sight.state == "registered"
    forged = {}
    for path, (status, body) in before.items():
        content = json.loads(body)
        for each in content.get("keys", [content]):
            each["key"]["x"] = base64.urlsafe_b64encode(card_key(9).x).rstrip(b"=").decode()
        forged[path] = (status, json.dumps(content).encode())
    with _serve(lambda path: forged[path]) as lying, pytest.raises(LedgerUnavailableError, match="different histories"):
        watch(monkeypatch, active, served, lying).look("0x" + ID.hex())


def test_watch_without_gateway_or_identity(monkeypatch: pytest.MonkeyPatch, active: Gateway, served: str) -> None:
    with pytest.raises(ConfigurationError):
        GatewayWatch(" , ", 1.0)
    with pytest.raises(LedgerUnavailableError):
        GatewayWatch("http://127.0.0.1:9", 1.0).look("0x" + ID.hex())
    with pytest.raises(InputError):
        watch(monkeypatch, active, served).look("me")
