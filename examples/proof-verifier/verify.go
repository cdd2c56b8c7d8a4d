package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/big"
)

// Identity is what a certificate is on the ledger: SHA-256 of its SubjectPublicKeyInfo and TBSCertificate; and the issuer
// that it names, where that is another.
type Identity struct {
	SPKI, TBS []byte
	Issuer    *NamedIssuer
}

// Certificate is the id.
func (i Identity) Certificate() []byte { return keccak(i.SPKI, i.TBS) }

// Identify a certificate in DER.
func Identify(der []byte) (Identity, error) {
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return Identity{}, err
	}
	spki, tbs := sha256.Sum256(parsed.RawSubjectPublicKeyInfo), sha256.Sum256(parsed.RawTBSCertificate)
	return Identity{spki[:], tbs[:], issuerOf(parsed)}, nil
}

type step struct {
	header []byte
	nodes  [][]byte
}

// Proof as gateways hand it out and devices carry it; nothing in it is believed.
type Proof struct {
	chainID                        int64
	certificate, blockHash, header []byte
	sealed                         bool
	steps                          []step
	nodes, authorities             [][]byte
}

// ParseProof reads JSON, which begins with a brace, or CBOR.
func ParseProof(content []byte) (proof *Proof, err error) {
	defer caught(&err)
	const code = "malformed-proof"
	if len(content) > 1<<20 {
		refuse("proof-too-large", "the proof has %d bytes", len(content))
	}
	hexadecimal := bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("{"))
	parse := parseCBOR
	if hexadecimal {
		parse = parseJSON
	}
	names := []string{"format", "chain_id", "certificate", "sealed", "block_hash", "header", "steps", "authorities", "nodes"}
	found := newForm(parse(content, code), names, code, hexadecimal)
	if found.text("format") != "tiger-tally-proof-1" {
		refuse(code, "format must be tiger-tally-proof-1")
	}
	proof = &Proof{
		chainID: found.integer("chain_id", 1, 1<<63-1), certificate: found.octets("certificate", 32, 0),
		blockHash: found.octets("block_hash", 32, 0), header: found.octets("header", -1, maxHeaderBytes),
		sealed: found.boolean("sealed"), nodes: found.octetsList("nodes", 512, -1, maxNodeBytes),
		authorities: found.octetsList("authorities", mostAuthorities, 32, 0),
	}
	for _, each := range found.innerList("steps", 512, "header", "nodes") {
		nodes := each.octetsList("nodes", 512, -1, maxNodeBytes)
		proof.steps = append(proof.steps, step{each.octets("header", -1, maxHeaderBytes), nodes})
	}
	return proof, nil
}

// Proven is what the ledger said at a block.
type Proven struct {
	Status
	Good   bool   `json:"good"`
	Block  uint64 `json:"block"`
	AgeS   int64  `json:"age_s"`
	Sealed bool   `json:"sealed"`
	// What the issuer is trusted for: IKE 1, TLS 2, slice 4; all of them where no CA issued it.
	Scope uint64 `json:"scope"`
	// Ids of the CAs whose word counted, from the issuer to the root.
	Authorities []string `json:"authorities"`
}

// Verify a proof at the time now (seconds since 1970); maxAgeS 0 is the consortium's bound; leastBlock is the last that
// the reader has seen of it. The steps are those of
// pki_chain/proof/verifier.py.
func (t *Trust) Verify(proof *Proof, id Identity, now, maxAgeS int64, leastBlock uint64, unsafeUnsealed bool) (proven *Proven, err error) {
	defer caught(&err)
	terms := &t.terms
	// 1. The trust file is young enough
	if now-t.state.time > terms.governanceS {
		refuse("checkpoint-too-old", "the trust file's last block is %d s old", now-t.state.time)
	}
	if t.state.time-now > skewS {
		refuse("checkpoint-from-future", "the trust file's last block is %d s ahead", t.state.time-now)
	}
	// 2. This chain, this certificate, an engine that seals
	if proof.chainID != terms.chainID {
		refuse("other-chain", "the proof is of chain %d, not %d", proof.chainID, terms.chainID)
	}
	if !bytes.Equal(proof.certificate, id.Certificate()) {
		refuse("other-certificate", "the proof is about another certificate")
	}
	if proof.sealed != (terms.sealing.mode != "none") {
		refuse("sealing-mismatch", "proof and trust file disagree on whether the engine seals its blocks")
	}
	if !proof.sealed && !unsafeUnsealed {
		refuse("unsealed", "this ledger's engine does not seal its blocks, so the proof is the gateway's word")
	}
	// 3. Who seals now
	known := t.state
	for _, each := range proof.steps {
		h, nodes := parseHeader(each.header), newNodeList(each.nodes)
		switch terms.sealing.mode {
		case "header":
			known = followHeader(known, h, terms.sealing)
		case "contract":
			known = followContract(known, h, terms.sealing, nodes)
		default:
			refuse("sealing-mismatch", "the proof has steps where nothing is sealed")
		}
		nodes.finish()
	}
	// 4. The header, sealed by them
	h := parseHeader(proof.header)
	if !bytes.Equal(verifyHeader(h, known, terms.sealing.mode), proof.blockHash) {
		refuse("block-hash-mismatch", "the header is not the block that the proof names")
	}
	// 5. Young enough
	if maxAgeS == 0 {
		maxAgeS = terms.ageBoundS
	}
	age := new(big.Int).Sub(big.NewInt(now), h.time())
	if age.Cmp(big.NewInt(maxAgeS)) > 0 {
		refuse("stale-header", "the block is %s s old, %d s are allowed", age, maxAgeS)
	}
	if age.Cmp(big.NewInt(-skewS)) < 0 {
		refuse("header-from-future", "the block lies %s s ahead", new(big.Int).Neg(age))
	}
	if h.number() < leastBlock {
		refuse("older-than-seen", "block %d is before %d, seen already", h.number(), leastBlock)
	}
	// 6. State, and nothing else
	nodes := newNodeList(proof.nodes)
	found := proveFacts(h.stateRoot(), terms, id, proof.authorities, nodes)
	nodes.finish()
	// 7. The answer
	status, scope := Status{State: "unknown"}, uint64(7)
	if found != nil {
		status, scope = judge(found, h.time().Uint64()), found.issuerScope
	}
	good := status.State == "valid" && now <= int64(status.NotAfter)
	if age.Sign() < 0 {
		age.SetInt64(0)
	}
	authorities := []string{}
	for _, each := range proof.authorities {
		authorities = append(authorities, "0x"+hex.EncodeToString(each))
	}
	return &Proven{status, good, h.number(), age.Int64(), proof.sealed, scope, authorities}, nil
}

func verifyHeader(h header, known state, mode string) (blockHash []byte) {
	if h.number() < known.number {
		refuse("header-before-checkpoint", "block %d is before block %d, known already", h.number(), known.number)
	}
	switch {
	case mode == "none":
		blockHash = h.hashWith(h.fields[12])
	case h.number() > known.number:
		blockHash, _ = verifySeals(h, known.sealers, mode)
		return blockHash
	default: // known already, and sealed by the set before: its hash says enough
		extra := parseExtraData(h.fields[12])
		blockHash = h.hashWith(extra.encoded(nil))
	}
	if h.number() == known.number && !bytes.Equal(blockHash, known.hash) {
		refuse("checkpoint-conflict", "block %d is another than the one that is known", h.number())
	}
	return blockHash
}
