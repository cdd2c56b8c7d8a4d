// Verifies the proof of a certificate's status, trusting neither gateway nor ledger node: the second verifier, for
// gateways that run no Python. It answers as `tally verify` does.
//
// Usage: proof-verifier -proof FILE -trust TRUST.json [-max-age SECONDS] [-least-block N] [-unsafe-unsealed] CERTIFICATE
// Exit codes: 0 valid; 65 an input of another form; 66 proven unknown; 76 nothing is proven; 77 proven and not valid.
package main

import (
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	proofPath := flag.String("proof", "", "the proof, JSON or CBOR")
	trustPath := flag.String("trust", "TRUST.json", "the trust file")
	maxAge := flag.Int64("max-age", 0, "oldest block taken, in seconds (default: the consortium's bound)")
	leastBlock := flag.Uint64("least-block", 0, "refuse a proof of an older block")
	unsafe := flag.Bool("unsafe-unsealed", false, "believe a ledger whose engine seals nothing: for trials only")
	flag.Parse()
	if flag.NArg() != 1 || *proofPath == "" || *maxAge < 0 {
		flag.Usage()
		os.Exit(2)
	}
	proven, err := run(flag.Arg(0), *proofPath, *trustPath, *maxAge, *leastBlock, *unsafe)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if _, refused := err.(*Refusal); refused {
			os.Exit(76)
		}
		os.Exit(65)
	}
	encoded, _ := json.Marshal(proven)
	fmt.Println(string(encoded))
	switch {
	case proven.State == "unknown":
		os.Exit(66)
	case !proven.Good:
		os.Exit(77)
	}
}

func run(certificatePath, proofPath, trustPath string, maxAge int64, leastBlock uint64, unsafe bool) (*Proven, error) {
	der, err := read(certificatePath)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	id, err := Identify(der)
	if err != nil {
		return nil, err
	}
	content, err := read(trustPath)
	if err != nil {
		return nil, err
	}
	trust, err := ParseTrust(content)
	if err != nil {
		return nil, err
	}
	if content, err = read(proofPath); err != nil {
		return nil, err
	}
	proof, err := ParseProof(content)
	if err != nil {
		return nil, err
	}
	return trust.Verify(proof, id, time.Now().Unix(), maxAge, leastBlock, unsafe)
}

// read at most 1 MiB and a byte, so that what is longer is seen to be.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, 1<<20+1))
}
