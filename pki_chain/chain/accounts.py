"""eth_account, imported in this one place.

It brings py_ecc along, which raises the interpreter's recursion limit to 100,000. The C stack does not grow with that:
a deeply nested JSON body would then end the process instead of raising RecursionError. So the limit is put back.
"""

import sys

_limit = sys.getrecursionlimit()

from eth_account import Account  # noqa: E402  # the limit must be read before
from eth_account.messages import SignableMessage, encode_typed_data  # noqa: E402
from eth_account.signers.local import LocalAccount  # noqa: E402

sys.setrecursionlimit(_limit)

__all__ = ["Account", "LocalAccount", "SignableMessage", "encode_typed_data"]
