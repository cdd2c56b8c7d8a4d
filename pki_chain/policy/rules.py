"""A validator's rules, as its `rules.toml` names them.

Each rule is a module of this package with a `create(settings)` that returns it; adding one is adding a file and a table
`[rules.<module>]` to rules.toml. The check of the certificate itself always comes first and cannot be left out.
"""

from __future__ import annotations

import pkgutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import pki_chain.policy
from pki_chain.errors import ConfigurationError
from pki_chain.policy.context import BatchContext, EvidenceMissingError
from pki_chain.policy.settings import RuleSettings
from pki_chain.x509.certificate import Certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.reasons import Reason
from pki_chain.x509.verify import check_certificate


class Rule(Protocol):
    """One thing that a validator looks at."""

    @property
    def name(self) -> str:
        """The rule's module, for logs."""
        ...

    def judge(self, certificate: Certificate, context: BatchContext) -> Reason | None:
        """Why not, or None. May raise EvidenceMissingError."""
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome for one entry: no reason means accepted. `rule` names what objected."""

    reason: Reason | None
    rule: str
    certificate: Certificate | None

    @property
    def is_accepted(self) -> bool:
        """Whether nothing spoke against it."""
        return self.reason is None

    @property
    def is_abstention(self) -> bool:
        """Whether the entry should lapse and may come again, instead of being rejected."""
        return self.reason is not None and self.reason.transient


@dataclass(frozen=True, slots=True)
class RuleBook:
    """A validator's rules in their order."""

    rules: tuple[Rule, ...]

    def judge(self, der: bytes, context: BatchContext) -> Judgement:
        """Judge one entry by its bytes. A final reason of a later rule wins over an earlier transient one."""
        try:
            certificate = check_certificate(der, context.certificate_rules())
        except CertificateRefusedError as refused:
            return Judgement(refused.reason, CERTIFICATE_CHECK, None)
        undecided: Judgement | None = None
        for rule in self.rules:
            reason = _ask(rule, certificate, context)
            if reason is None:
                continue
            judgement = Judgement(reason, rule.name, certificate)
            if not reason.transient:
                return judgement
            undecided = undecided or judgement
        return undecided or Judgement(None, "", certificate)


CERTIFICATE_CHECK = "certificate"
_NOT_RULES = frozenset({"context", "quorum", "rules", "settings"})


def _ask(rule: Rule, certificate: Certificate, context: BatchContext) -> Reason | None:
    try:
        return rule.judge(certificate, context)
    except EvidenceMissingError:
        return Reason.EVIDENCE_MISSING


def available_rules() -> tuple[str, ...]:
    """Names that rules.toml may use, sorted."""
    modules = {module.name for module in pkgutil.iter_modules(pki_chain.policy.__path__)}
    return tuple(sorted(modules - _NOT_RULES))


def load_rules(path: Path) -> RuleBook:
    """Read rules.toml: one table `[rules.<name>]` a rule, judged in the order of the file.

    File names in it are relative to it. Raises ConfigurationError, which names key and file.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read as TOML ({error}); correct the file") from error
    tables = document.pop("rules", None)
    if document or not isinstance(tables, dict):
        raise ConfigurationError(f"{path}: wants tables [rules.<name>] and nothing else; see the example")
    return RuleBook(tuple(_create_rule(name, table, path) for name, table in tables.items()))


def _create_rule(name: str, table: object, path: Path) -> Rule:
    if name not in available_rules():
        raise ConfigurationError(f"{path}: no rule named {name!r}; there are {', '.join(available_rules())}")
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: rules.{name} is not a table; write [rules.{name}]")
    create = cast("Callable[[RuleSettings], Rule]", import_module(f"{pki_chain.policy.__name__}.{name}").create)
    settings = RuleSettings(name, path, dict(table))
    rule = create(settings)
    settings.finish()
    return rule
