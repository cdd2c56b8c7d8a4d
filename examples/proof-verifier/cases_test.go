package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// A case as tests/proof/agreement_cases.py writes it; TALLY_PROOF_CASES names the file.
type oneCase struct {
	Name, Kind              string
	SPKI, TBS, Proof, Trust string
	Issuer                  *struct {
		Name, KeyIdentifier string
		Scope               uint64
	}
	Now, MaxAge, LeastBlock int64
	Unsafe                  bool
	Header, Mode            string
	Sealers, Nodes          []string
	Root, Key               string
	Refusal, Answer         string
}

func TestCases(t *testing.T) {
	path := os.Getenv("TALLY_PROOF_CASES")
	if path == "" {
		t.Skip("TALLY_PROOF_CASES names no file: run pytest tests/agreement/test_proof_verifiers_agree.py")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []oneCase
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	for _, each := range cases {
		t.Run(each.Name, func(t *testing.T) {
			answer, err := each.carryOut()
			refusal := ""
			if err != nil {
				refusal = err.(*Refusal).Code
			}
			if answer != each.Answer || refusal != each.Refusal {
				t.Errorf("answer %q, refusal %q; wanted %q, %q (%v)", answer, refusal, each.Answer, each.Refusal, err)
			}
		})
	}
}

func (c oneCase) carryOut() (answer string, err error) {
	defer caught(&err)
	switch c.Kind {
	case "seals":
		hash, _ := verifySeals(parseHeader(unhex(c.Header)), unhexAll(c.Sealers), c.Mode)
		return hex.EncodeToString(hash), nil
	case "walk":
		nodes := newNodeList(unhexAll(c.Nodes))
		value, end := walk(unhex(c.Root), unhex(c.Key), nodes)
		nodes.finish()
		return end + " " + hex.EncodeToString(value), nil
	}
	trust, err := ParseTrust([]byte(c.Trust))
	if err != nil {
		return "", err
	}
	proof, err := ParseProof(unhex(c.Proof))
	if err != nil {
		return "", err
	}
	id := Identity{SPKI: unhex(c.SPKI), TBS: unhex(c.TBS)}
	if c.Issuer != nil {
		id.Issuer = &NamedIssuer{unhex(c.Issuer.Name), unhex(c.Issuer.KeyIdentifier), c.Issuer.Scope}
	}
	proven, err := trust.Verify(proof, id, c.Now, c.MaxAge, uint64(c.LeastBlock), c.Unsafe)
	if err != nil {
		return "", err
	}
	encoded, err := json.Marshal(proven)
	return string(encoded), err
}

func unhex(text string) []byte {
	content, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return content
}

func unhexAll(texts []string) (all [][]byte) {
	for _, each := range texts {
		all = append(all, unhex(each))
	}
	return all
}
