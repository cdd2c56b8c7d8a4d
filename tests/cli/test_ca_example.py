"""The commands of docs/ca-issued.md make what the trust list and the profile take."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from pki_chain.ports import DelegationKind, NameRange, RangeKind, TrustScope
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.delegation import check_delegation
from pki_chain.x509.profile import CELL_CA
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.trust_chain import ListedAuthority, build_issuers
from pki_chain.x509.verify import check_certificate

pytestmark = pytest.mark.openssl

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ca-issued.md"
SPAN = NameRange(RangeKind.DNS, 0, 0, 0, b"cells.acme.example")


def test_what_openssl_makes_is_taken(tmp_path: Path) -> None:
    (script,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {path.stem: ssl.PEM_cert_to_DER_cert(path.read_text()) for path in tmp_path.glob("*.pem")}
    root, issuing = parse_authority(made["root"]), parse_authority(made["issuing"])
    now = int(time.time())
    issuers = build_issuers(
        [
            ListedAuthority(root.id, None, TrustScope.IKE, root.not_before, root.not_after, 0, root.der),
            ListedAuthority(issuing.id, root.id, TrustScope.IKE, now, issuing.not_after, 0, issuing.der),
        ]
    )
    assert len(issuers) == 2
    rules = CertificateRules(CELL_CA, "Acme Cells", (SPAN,), now, issuers)
    assert check_certificate(made["cell"], rules).names[0].text == "02a0f2000001.cells.acme.example"
    kinds = {name: check_delegation(made[name], issuing).kind for name in ("ocsp", "crl")}
    assert kinds == {"ocsp": DelegationKind.OCSP_SIGNING, "crl": DelegationKind.CRL_SIGNING}
