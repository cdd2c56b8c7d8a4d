package main

import "fmt"

// Refusal says why nothing is proven. Codes are those of pki_chain/proof/errors.py.
type Refusal struct{ Code, Text string }

func (r *Refusal) Error() string { return r.Code + ": " + r.Text }

// refuse ends the verification; caught turns it into an error at the border of this program's parts.
func refuse(code, format string, values ...any) {
	panic(&Refusal{code, fmt.Sprintf(format, values...)})
}

func caught(err *error) {
	if found := recover(); found != nil {
		refusal, ok := found.(*Refusal)
		if !ok {
			panic(found)
		}
		*err = refusal
	}
}
