"""A fresh child brought to the journal's end: from a checkpoint, or from the genesis.

A state loaded into an empty anvil does not behave as the one that it was dumped from. Of contracts that this process
did not see created it keeps a slot that was read by a call that reverts, and never written, as a leaf of value zero:
later blocks come out with other hashes. So the blocks up to the last contract are made again first, and the state is
laid over that.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence

from pki_chain.chain.engine.checkpoint import Checkpoint
from pki_chain.chain.engine.child import Child
from pki_chain.chain.engine.journal import BlockRecord, Journal, Record
from pki_chain.chain.engine.replay import Replayed, read_head, replay
from pki_chain.chain.errors import JournalCorruptError, RpcError

_NO_CODE = {"0x", None}


def restore(child: Child, journal: Journal, checkpoint: Checkpoint | None) -> Replayed:
    """Raises `JournalCorruptError` when blocks come out otherwise than they were recorded, also where the checkpoint is
    to blame: without one, only the journal or the child can be."""
    if checkpoint is None:
        return replay(child, journal.entries())
    replay(child, _until_created(child, journal.entries(), checkpoint.contracts))
    try:
        child.request("anvil_loadState", "0x" + gzip.compress(checkpoint.state.read_bytes(), 1).hex())
    except (OSError, RpcError) as error:
        raise JournalCorruptError(f"The state {checkpoint.state} cannot be loaded: {error}") from error
    if read_head(child) != checkpoint.head:
        raise JournalCorruptError(f"The state {checkpoint.state} is not that of block {checkpoint.head.number}.")
    return replay(child, journal.entries(checkpoint.resume_at), checkpoint.head)


def _until_created(
    child: Child, entries: Iterable[tuple[int, int, Record]], contracts: Sequence[str]
) -> Iterator[tuple[int, int, Record]]:
    """The entries up to the block with which the last of these accounts has code; the reader makes each as it comes."""
    asked = [("eth_getCode", (each, "latest")) for each in contracts]
    for entry in entries:
        if isinstance(entry[2], BlockRecord):
            codes = child.batch(asked) if asked else []
            if all(each.get("result") not in _NO_CODE for each in codes):
                return
        yield entry
