package main

import (
	"bytes"
	"math/big"
	"sort"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

const maxHeaderBytes = 32768

// Lengths of a header's fields; integer: an RLP integer. Source: Yellow Paper §4.4, later fields in the order of forks.
const (
	integer = -1
	any_    = -2
)

var fieldLengths = []int{
	32, 32, 20, 32, 32, 32, 256, integer, integer, integer, integer, integer, any_, 32, 8,
	integer, 32, integer, integer, 32, 32,
}

var longestInteger = map[int]int{7: 32, 15: 32}

var mixHash = []byte("ctical byzantine fault tolerance")

type header struct{ fields [][]byte }

func (h header) parentHash() []byte { return h.fields[0] }
func (h header) proposer() []byte   { return h.fields[2] }
func (h header) stateRoot() []byte  { return h.fields[3] }
func (h header) number() uint64     { return new(big.Int).SetBytes(h.fields[8]).Uint64() }
func (h header) time() *big.Int     { return new(big.Int).SetBytes(h.fields[11]) }

func (h header) hashWith(extraData []byte) []byte {
	encoded := make([][]byte, len(h.fields))
	for index, field := range h.fields {
		encoded[index] = encodeText(field)
	}
	encoded[12] = encodeText(extraData)
	return keccak(encodeList(encoded...))
}

func parseHeader(encoded []byte) header {
	const code = "malformed-header"
	if len(encoded) > maxHeaderBytes {
		refuse(code, "the header has %d bytes", len(encoded))
	}
	items := parseList(encoded, code, "the header")
	if len(items) < 15 || len(items) > len(fieldLengths) {
		refuse(code, "the header has %d fields", len(items))
	}
	found := header{}
	for index, each := range items {
		if each.isList {
			refuse(code, "a field of the header is a list")
		}
		switch length := fieldLengths[index]; length {
		case any_:
		case integer:
			longest := 8
			if more, ok := longestInteger[index]; ok {
				longest = more
			}
			number(each, longest, code, "a field of the header")
		default:
			if len(each.text) != length {
				refuse(code, "a field of the header has %d bytes, not %d", len(each.text), length)
			}
		}
		found.fields = append(found.fields, each.text)
	}
	return found
}

type vote struct {
	candidate []byte
	add       bool
}

// extraData of a QBFT header. What it lists of itself proves nothing.
type extraData struct {
	vanity  []byte
	sealers [][]byte
	vote    *vote
	round   []byte
	seals   [][]byte
}

func (e extraData) encoded(round []byte) []byte {
	var sealers [][]byte
	for _, each := range e.sealers {
		sealers = append(sealers, encodeText(each))
	}
	cast := encodeList()
	if e.vote != nil {
		kind := []byte{}
		if e.vote.add {
			kind = []byte{0xff}
		}
		cast = encodeList(encodeText(e.vote.candidate), encodeText(kind))
	}
	return encodeList(encodeText(e.vanity), encodeList(sealers...), cast, encodeText(round), encodeList())
}

func parseExtraData(content []byte) extraData {
	const code = "malformed-extra-data"
	items := parseList(content, code, "extraData")
	if len(items) != 5 || items[0].isList || len(items[0].text) != 32 {
		refuse(code, "extraData is not vanity, sealers, vote, round and seals")
	}
	found := extraData{vanity: items[0].text, sealers: texts(items[1], 20, code)}
	found.vote = parseVote(items[2])
	number(items[3], 4, code, "extraData's round")
	found.round = items[3].text
	if !items[4].isList {
		refuse(code, "extraData has no list of seals")
	}
	found.seals = texts(items[4], 65, "malformed-seal")
	return found
}

func parseVote(found item) *vote {
	if found.isList && len(found.list) == 0 {
		return nil
	}
	if found.isList && len(found.list) == 2 {
		candidate, kind := found.list[0], found.list[1]
		add := bytes.Equal(kind.text, []byte{0xff})
		if !candidate.isList && len(candidate.text) == 20 && !kind.isList && (add || len(kind.text) == 0) {
			return &vote{candidate.text, add}
		}
	}
	refuse("malformed-extra-data", "extraData has a vote of another form")
	return nil
}

func texts(found item, length int, code string) (all [][]byte) {
	if !found.isList {
		refuse("malformed-extra-data", "extraData lacks a list")
	}
	for _, each := range found.list {
		if each.isList || len(each.text) != length {
			refuse(code, "an entry of extraData is not %d bytes", length)
		}
		all = append(all, each.text)
	}
	return all
}

// verifySeals demands a quorum of these sealers, in force after the parent, and no seal by anybody else.
func verifySeals(h header, sealers [][]byte, mode string) (blockHash []byte, extra extraData) {
	if !bytes.Equal(h.fields[13], mixHash) {
		refuse("wrong-mix-hash", "mixHash is not QBFT's")
	}
	if !bytes.Equal(h.fields[7], []byte{1}) {
		refuse("wrong-difficulty", "difficulty is not 1")
	}
	extra = parseExtraData(h.fields[12])
	sorted := sortedCopy(sealers)
	if mode == "header" && !equalLists(extra.sealers, sorted) {
		refuse("wrong-sealer-list", "the header lists other sealers than those in force")
	}
	if mode == "contract" && (len(extra.sealers) != 0 || extra.vote != nil) {
		refuse("wrong-sealer-list", "the header has a list or a vote where a contract holds the set")
	}
	digest := h.hashWith(extra.encoded(extra.round))
	signers := map[string]bool{}
	for _, seal := range extra.seals {
		signer := recoverSigner(digest, seal)
		if !contains(sorted, signer) {
			refuse("foreign-seal", "a seal is by 0x%x, who is no sealer of this block", signer)
		}
		if signers[string(signer)] {
			refuse("repeated-seal", "two seals are by 0x%x", signer)
		}
		signers[string(signer)] = true
	}
	if quorum := (2*len(sealers) + 2) / 3; len(sealers) == 0 || len(signers) < quorum {
		refuse("no-quorum", "%d of %d sealed, %d are needed", len(signers), len(sealers), quorum)
	}
	return h.hashWith(extra.encoded(nil)), extra
}

func recoverSigner(digest, seal []byte) []byte {
	var r, s secp256k1.ModNScalar
	if len(seal) != 65 || seal[64] > 1 || r.SetByteSlice(seal[:32]) || s.SetByteSlice(seal[32:64]) || r.IsZero() || s.IsZero() {
		refuse("malformed-seal", "a seal is not r, s (1 to n-1) and v (0 or 1)")
	}
	key, _, err := ecdsa.RecoverCompact(append([]byte{27 + seal[64]}, seal[:64]...), digest)
	if err != nil {
		refuse("malformed-seal", "a seal is no signature by any key")
	}
	return keccak(key.SerializeUncompressed()[1:])[12:]
}

func sortedCopy(list [][]byte) [][]byte {
	sorted := append([][]byte{}, list...)
	sort.Slice(sorted, func(a, b int) bool { return bytes.Compare(sorted[a], sorted[b]) < 0 })
	return sorted
}

func equalLists(one, other [][]byte) bool {
	return bytes.Equal(bytes.Join(one, nil), bytes.Join(other, nil)) && len(one) == len(other)
}

func contains(list [][]byte, wanted []byte) bool {
	for _, each := range list {
		if bytes.Equal(each, wanted) {
			return true
		}
	}
	return false
}
