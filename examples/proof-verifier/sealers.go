package main

import (
	"bytes"
	"math/big"
)

// sealing says where the set of sealers stands: mode none, header or contract.
type sealing struct {
	mode               string
	epochLength        uint64
	boundaryVoteCounts bool
	contract, codeHash []byte
	slot               *big.Int
}

// state is the last block known and the set after it; votes: proposer and candidate to whether to add.
type state struct {
	number  uint64
	hash    []byte
	time    int64
	sealers [][]byte
	votes   map[[40]byte]bool
}

func followHeader(known state, h header, terms sealing) state {
	if h.number() != known.number+1 || !bytes.Equal(h.parentHash(), known.hash) {
		refuse("header-not-next", "header %d does not follow block %d", h.number(), known.number)
	}
	blockHash, extra := verifySeals(h, known.sealers, "header")
	votes := map[[40]byte]bool{}
	boundary := h.number()%terms.epochLength == 0
	if !boundary {
		for key, add := range known.votes {
			votes[key] = add
		}
	}
	next := state{h.number(), blockHash, h.time().Int64(), known.sealers, votes}
	if extra.vote != nil && (terms.boundaryVoteCounts || !boundary) {
		if !contains(known.sealers, h.proposer()) {
			refuse("foreign-proposer", "0x%x votes and is no sealer", h.proposer())
		}
		next.count(h.proposer(), *extra.vote)
	}
	return next
}

// count takes a vote in, and carries it out where more than half of the sealers voted for it.
func (s *state) count(proposer []byte, cast vote) {
	key := voteKey(proposer, cast.candidate)
	delete(s.votes, key)
	if cast.add == contains(s.sealers, cast.candidate) {
		return
	}
	s.votes[key] = cast.add
	support := 0
	for each := range s.votes {
		if bytes.Equal(each[20:], cast.candidate) {
			support++
		}
	}
	if 2*support <= len(s.sealers) {
		return
	}
	var sealers [][]byte
	for _, each := range s.sealers {
		if cast.add || !bytes.Equal(each, cast.candidate) {
			sealers = append(sealers, each)
		}
	}
	if cast.add {
		sealers = append(sealers, cast.candidate)
	}
	s.sealers = sortedCopy(sealers)
	for each := range s.votes {
		if bytes.Equal(each[20:], cast.candidate) || !contains(s.sealers, each[:20]) {
			delete(s.votes, each)
		}
	}
}

func voteKey(proposer, candidate []byte) (key [40]byte) {
	copy(key[:20], proposer)
	copy(key[20:], candidate)
	return key
}

func followContract(known state, h header, terms sealing, nodes *nodeList) state {
	if h.number() <= known.number {
		refuse("header-not-next", "header %d is not after block %d", h.number(), known.number)
	}
	blockHash, _ := verifySeals(h, known.sealers, "contract")
	root := proveContract(h.stateRoot(), terms.contract, terms.codeHash, nodes).storageRoot
	count := proveWord(root, terms.slot, nodes)
	if count.Sign() == 0 || count.Cmp(big.NewInt(255)) > 0 {
		refuse("bad-sealer-set", "the contract lists %s sealers", count)
	}
	var sealers [][]byte
	first := new(big.Int).SetBytes(keccak(word32(terms.slot)))
	for index := int64(0); index < count.Int64(); index++ {
		slot := new(big.Int).Add(first, big.NewInt(index))
		slot.And(slot, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)))
		value := proveWord(root, slot, nodes)
		if value.Sign() == 0 || value.BitLen() > 160 {
			refuse("bad-sealer-set", "an entry is no address")
		}
		sealers = append(sealers, value.FillBytes(make([]byte, 20)))
	}
	sealers = sortedCopy(sealers)
	for index := 1; index < len(sealers); index++ {
		if bytes.Equal(sealers[index-1], sealers[index]) {
			refuse("bad-sealer-set", "an entry stands twice")
		}
	}
	return state{h.number(), blockHash, h.time().Int64(), sealers, nil}
}
