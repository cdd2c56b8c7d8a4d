package main

import (
	"bytes"
	"math/big"
)

const skewS = 15

// Terms say which ledger is believed; administrators: account to member.
type Terms struct {
	chainID                int64
	salt                   []byte
	directory              []byte
	codes                  map[string][]byte
	sealing                sealing
	ageBoundS, governanceS int64
	administrators         map[string]int64
	threshold              int64
	hash                   []byte
}

// Trust is a trust file whose signatures were verified.
type Trust struct {
	terms             Terms
	checkpoint, state state
}

var termNames = []string{
	"chain_id", "salt", "directory", "code_hashes", "sealing", "age_bound_s", "governance_window_s", "administrators", "threshold",
}

// ParseTrust reads a trust file and verifies that enough administrators signed it.
func ParseTrust(content []byte) (trust *Trust, err error) {
	defer caught(&err)
	const code = "malformed-trust"
	if len(content) > 1<<20 {
		refuse(code, "the trust file is too long")
	}
	names := append([]string{"format", "checkpoint", "signatures", "followed"}, termNames...)
	document := newForm(parseJSON(content, code), names, code, true)
	if document.text("format") != "tiger-tally-trust-1" {
		refuse(code, "format must be tiger-tally-trust-1")
	}
	trust = &Trust{terms: parseTerms(document)}
	mode := trust.terms.sealing.mode
	trust.checkpoint = parseState(document.inner("checkpoint", "number", "hash", "time", "sealers"), mode)
	trust.state = trust.checkpoint
	signatures := document.octetsList("signatures", 4096, 65, 0)
	if document.members["followed"] != nil {
		followed := document.inner("followed", "number", "hash", "time", "sealers", "votes")
		trust.state = parseState(followed, mode)
		trust.state.votes = map[[40]byte]bool{}
		for _, each := range followed.innerList("votes", 255*255, "proposer", "candidate", "add") {
			key := voteKey(each.octets("proposer", 20, 0), each.octets("candidate", 20, 0))
			trust.state.votes[key] = each.boolean("add")
		}
	}
	trust.verifySignatures(signatures)
	return trust, nil
}

func parseTerms(document form) Terms {
	pinned := []string{"Directory", "CertificateRegistry", "TrustList"}
	hashes := document.inner("code_hashes", pinned...)
	terms := Terms{
		chainID:        document.integer("chain_id", 1, 1<<63-1),
		salt:           document.octets("salt", 32, 0),
		directory:      document.octets("directory", 20, 0),
		codes:          map[string][]byte{},
		sealing:        parseSealing(document),
		ageBoundS:      document.integer("age_bound_s", 1, 86400),
		governanceS:    document.integer("governance_window_s", 1, 365*86400),
		administrators: map[string]int64{},
		threshold:      document.integer("threshold", 1, 255),
	}
	for _, name := range pinned {
		terms.codes[name] = hashes.octets(name, 32, 0)
	}
	listed := document.innerList("administrators", 4096, "account", "member")
	for _, each := range listed {
		terms.administrators[string(each.octets("account", 20, 0))] = each.integer("member", 1, 65535)
	}
	if len(terms.administrators) != len(listed) {
		refuse(document.code, "an administrator stands twice")
	}
	chosen := map[string]any{}
	for _, name := range termNames {
		chosen[name] = document.members[name]
	}
	terms.hash = keccak(canonicalJSON(chosen))
	return terms
}

func parseSealing(document form) sealing {
	value, _ := document.members["sealing"].(map[string]any)
	switch mode, _ := value["mode"].(string); mode {
	case "none":
		document.inner("sealing", "mode")
		return sealing{mode: mode}
	case "header":
		found := document.inner("sealing", "mode", "epoch_length", "boundary_vote_counts")
		length := uint64(found.integer("epoch_length", 1, 1<<63-1))
		return sealing{mode: mode, epochLength: length, boundaryVoteCounts: found.boolean("boundary_vote_counts")}
	case "contract":
		found := document.inner("sealing", "mode", "contract", "code_hash", "slot")
		return sealing{
			mode: mode, contract: found.octets("contract", 20, 0), codeHash: found.octets("code_hash", 32, 0),
			slot: new(big.Int).SetBytes(found.octets("slot", 32, 0)),
		}
	}
	refuse(document.code, "sealing has no mode none, header or contract")
	return sealing{}
}

func parseState(found form, mode string) state {
	sealers := found.octetsList("sealers", 255, 20, 0)
	for index := 1; index < len(sealers); index++ {
		if bytes.Compare(sealers[index-1], sealers[index]) >= 0 {
			refuse(found.code, "sealers are not in ascending order")
		}
	}
	if (len(sealers) == 0) != (mode == "none") {
		refuse(found.code, "sealers, where nothing is sealed, or none where they are due")
	}
	return state{
		number: uint64(found.integer("number", 0, 1<<63-1)), hash: found.octets("hash", 32, 0),
		time: found.integer("time", 0, 1<<40-1), sealers: sealers,
	}
}

// digest is what administrators sign and people compare. Source: EIP-712; docs/proofs.md.
func (t *Trust) digest() []byte {
	number := func(value int64) []byte { return word32(big.NewInt(value)) }
	domain := keccak(
		keccak([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)")),
		keccak([]byte("Tiger Tally")), keccak([]byte("1")), number(t.terms.chainID),
		make([]byte, 12), t.terms.directory, t.terms.salt,
	)
	var sealers []byte
	for _, each := range t.checkpoint.sealers {
		sealers = append(append(sealers, make([]byte, 12)...), each...)
	}
	text := keccak(
		keccak([]byte("TrustCheckpoint(bytes32 termsHash,uint64 number,bytes32 blockHash,uint64 time,bytes32 sealersHash)")),
		t.terms.hash, number(int64(t.checkpoint.number)), t.checkpoint.hash, number(t.checkpoint.time), keccak(sealers),
	)
	return keccak([]byte{0x19, 0x01}, domain, text)
}

var orderHalf, _ = new(big.Int).SetString("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16)

func (t *Trust) verifySignatures(signatures [][]byte) {
	const code = "trust-not-signed"
	defer func() {
		if found := recover(); found != nil {
			if refusal, ok := found.(*Refusal); ok {
				refusal.Code = code
			}
			panic(found)
		}
	}()
	members := map[int64]bool{}
	for _, signature := range signatures {
		if signature[64] != 27 && signature[64] != 28 || new(big.Int).SetBytes(signature[32:64]).Cmp(orderHalf) > 0 {
			refuse(code, "a signature is not r, s, v with low s and v 27 or 28")
		}
		signer := recoverSigner(t.digest(), append(append([]byte{}, signature[:64]...), signature[64]-27))
		member, known := t.terms.administrators[string(signer)]
		if !known || members[member] {
			refuse(code, "a signature is by no administrator, or a member's second")
		}
		members[member] = true
	}
	if int64(len(members)) < t.terms.threshold {
		refuse(code, "%d members signed the checkpoint, %d are needed", len(members), t.terms.threshold)
	}
}
