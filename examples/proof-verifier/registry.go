package main

import (
	"bytes"
	"math/big"
)

// Slots: docs/ledger.md. facts are what the ledger has recorded; times in seconds since 1970.
type facts struct {
	state, flags, reason                uint64
	notAfter, changedAt, emergencyUntil uint64
	keyReason, keyBlockedAt             uint64
	accepted, rejected                  bool
	submittedAt, windowEnd, decidedAt   uint64
	issuerReason, issuerWithdrawnAt     uint64
	issuerScope                         uint64
}

// word is a proven word of a contract's storage.
type word func(slot *big.Int) *big.Int

// Status is the answer of statusOf at a block.
type Status struct {
	State    string `json:"state"`
	Reason   uint64 `json:"reason"`
	Since    uint64 `json:"since"`
	NotAfter uint64 `json:"not_after"`
}

func mappingSlot(key []byte, slot int64) *big.Int {
	return new(big.Int).SetBytes(keccak(make([]byte, 32-len(key)), key, word32(big.NewInt(slot))))
}

func plus(slot *big.Int, more int64) *big.Int { return new(big.Int).Add(slot, big.NewInt(more)) }

func bits(word *big.Int, first, count uint) uint64 {
	part := new(big.Int).Rsh(word, first)
	return part.And(part, new(big.Int).SetUint64(1<<count-1)).Uint64()
}

// proveFacts goes Directory, registry, certificate, key, batch, and Directory, trust list, CAs where the answer depends
// on them; nil: the ledger does not know the certificate.
func proveFacts(stateRoot []byte, terms *Terms, id Identity, authorities [][]byte, nodes *nodeList) *facts {
	found := readFacts(id, proveNamed(stateRoot, terms, "CertificateRegistry", nodes))
	if found == nil || !found.dependsOnIssuer() {
		if len(authorities) != 0 {
			refuse("spare-authority", "the proof names a CA on which nothing depends")
		}
		if found != nil {
			found.issuerScope = 7 // no CA bounds it
		}
		return found
	}
	word := proveNamed(stateRoot, terms, "TrustList", nodes)
	proveIssuer(authorities, id.Issuer, found, word)
	return found
}

// proveNamed reads the storage of a contract that the Directory names.
func proveNamed(stateRoot []byte, terms *Terms, name string, nodes *nodeList) word {
	directory := proveContract(stateRoot, terms.directory, terms.codes["Directory"], nodes)
	entry := mappingSlot(keccak([]byte(name)), 0)
	location := proveWord(directory.storageRoot, entry, nodes)
	code := proveWord(directory.storageRoot, plus(entry, 1), nodes)
	if location.Sign() == 0 || location.BitLen() > 160 || !bytes.Equal(word32(code), terms.codes[name]) {
		refuse("hostile-directory", "the Directory names no %s, or one of other code than the trust file pins", name)
	}
	found := proveContract(stateRoot, location.FillBytes(make([]byte, 20)), terms.codes[name], nodes)
	return func(slot *big.Int) *big.Int { return proveWord(found.storageRoot, slot, nodes) }
}

// dependsOnIssuer: the withdrawal of a CA comes after all else that ends a certificate.
func (f *facts) dependsOnIssuer() bool {
	return f.flags&16 != 0 && f.accepted && f.state != 5 && f.keyBlockedAt == 0
}

// readFacts reads no word that cannot matter.
func readFacts(id Identity, word word) *facts {
	slot := word(mappingSlot(id.Certificate(), 0))
	if slot.Sign() == 0 {
		return nil
	}
	found := &facts{
		state: bits(slot, 0, 4), flags: bits(slot, 8, 8), reason: bits(slot, 32, 8), notAfter: bits(slot, 144, 40),
		changedAt: bits(slot, 184, 40), emergencyUntil: bits(slot, 224, 24) * 3600,
	}
	if (found.state != 1 && found.state != 4 && found.state != 5) || slot.BitLen() > 248 || found.flags&^23 != 0 {
		refuse("unknown-record", "the certificate's word has a state or a flag that this program does not know")
	}
	if found.state == 5 {
		return found
	}
	block := word(mappingSlot(id.SPKI, 2))
	if block.BitLen() > 49 {
		refuse("unknown-record", "the key's word has bits that this program does not know")
	}
	if block.Sign() != 0 {
		found.keyReason, found.keyBlockedAt = bits(block, 0, 8), bits(block, 8, 40)
		return found
	}
	batch := mappingSlot(new(big.Int).SetUint64(bits(slot, 56, 40)).Bytes(), 1)
	header, entry := word(plus(batch, 1)), int(bits(slot, 96, 8))
	if header.Sign() == 0 || header.BitLen() > 240 {
		refuse("unknown-record", "the certificate's batch has no header that this program knows")
	}
	found.submittedAt, found.windowEnd, found.decidedAt = bits(header, 80, 40), bits(header, 120, 40), bits(header, 160, 40)
	found.accepted = word(plus(batch, 3)).Bit(entry) == 1
	if !found.accepted {
		found.rejected = word(plus(batch, 4)).Bit(entry) == 1
	}
	return found
}

// judge is statusOf: one precedence, written as one list.
func judge(f *facts, now uint64) Status {
	answer := func(state string, reason, since uint64) Status { return Status{state, reason, since, f.notAfter} }
	emergency := f.flags&4 != 0
	holds := f.flags&3 != 0 || (emergency && now < f.emergencyUntil)
	since := later(f.changedAt, f.decidedAt)
	switch {
	case f.state == 5:
		return answer("revoked", f.reason, f.changedAt)
	case f.keyBlockedAt != 0:
		return answer("revoked", f.keyReason, f.keyBlockedAt)
	case f.rejected:
		return answer("rejected", 0, f.decidedAt)
	case !f.accepted && now > f.windowEnd:
		return answer("lapsed", 0, f.windowEnd)
	case !f.accepted:
		return answer("submitted", 0, f.submittedAt)
	case f.issuerWithdrawnAt != 0 && f.issuerWithdrawnAt <= f.notAfter:
		return answer("revoked", f.issuerReason, f.issuerWithdrawnAt)
	case now > f.notAfter:
		return answer("expired", 0, f.notAfter)
	case f.state == 4:
		return answer("superseded", f.reason, f.changedAt)
	case holds:
		return answer("held", 6, since)
	case emergency:
		return answer("valid", 0, later(since, f.emergencyUntil))
	}
	return answer("valid", 0, since)
}

func later(one, other uint64) uint64 {
	if one > other {
		return one
	}
	return other
}
