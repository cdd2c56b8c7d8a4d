"""A member's validator as its own process would open it, on the consortium of `tests.ledger`."""

from __future__ import annotations

from pki_chain.config import MemberConfig
from pki_chain.validator.run import Validator
from tests.ledger import Consortium


def open_validator(consortium: Consortium, member: int, rules: str) -> Validator:
    """With these rules, and databases below the member's directory; close it."""
    home = consortium.directory / f"member-{member}"
    (home / "rules.toml").write_text(rules)
    (home / "tally.toml").write_text(
        f'[member]\nid = {member}\nname = "x"\n[ledger]\nconsortium = "../consortium.json"\n'
        '[keystore]\npassphrase_file = "passphrase"\n'
    )
    return Validator.open(MemberConfig.load(home / "tally.toml", {}))
