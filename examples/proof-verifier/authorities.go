package main

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
)

const mostAuthorities = 4

// NamedIssuer is what a certificate says of who issued it: Keccak of the issuer's Name and of the octets of
// authorityKeyIdentifier, and the scope (IKE 1, TLS 2, slice 4) that a CA must be trusted for to issue it.
type NamedIssuer struct {
	Name, KeyIdentifier []byte
	Scope               uint64
}

var (
	extendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	ipsecIKE         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17}
)

// issuerOf is nil for a certificate that names itself, and for one without authorityKeyIdentifier.
func issuerOf(certificate *x509.Certificate) *NamedIssuer {
	if bytes.Equal(certificate.RawIssuer, certificate.RawSubject) || len(certificate.AuthorityKeyId) == 0 {
		return nil
	}
	return &NamedIssuer{keccak(certificate.RawIssuer), keccak(certificate.AuthorityKeyId), neededScope(certificate)}
}

// neededScope: IKE is also what any purpose, or none named, stands for.
func neededScope(certificate *x509.Certificate) (scope uint64) {
	named := false
	for _, each := range certificate.Extensions {
		named = named || each.Id.Equal(extendedKeyUsage)
	}
	if !named {
		return 1
	}
	for _, each := range certificate.ExtKeyUsage {
		switch each {
		case x509.ExtKeyUsageAny:
			scope |= 1
		case x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth:
			scope |= 2
		}
	}
	for _, each := range certificate.UnknownExtKeyUsage {
		if each.Equal(ipsecIKE) {
			scope |= 1
		}
	}
	return scope
}

// authority is an entry of the trust list; times in seconds since 1970.
type authority struct {
	scope, trustedFrom, trustedUntil uint64
	withdrawnAt, reason, replacedAt  uint64
	parent                           []byte
}

func readAuthority(id []byte, word word) authority {
	slot := mappingSlot(id, 0)
	packed := word(slot)
	if packed.Sign() == 0 {
		refuse("unknown-authority", "0x%x is not on the trust list", id)
	}
	if packed.BitLen() > 216 {
		refuse("unknown-record", "a CA's word has bits that this program does not know")
	}
	return authority{
		scope: bits(packed, 16, 8), trustedFrom: bits(packed, 48, 40), trustedUntil: bits(packed, 88, 40),
		withdrawnAt: bits(packed, 128, 40), reason: bits(packed, 168, 8), replacedAt: bits(packed, 176, 40),
		parent: word32(word(plus(slot, 1))),
	}
}

// proveIssuer finds the first withdrawal among the issuer of a certificate and the CAs above it, and the issuer's scope. Ids
// go from the issuer to the root. The steps are those of pki_chain/proof/trust_list_state.py.
func proveIssuer(ids [][]byte, named *NamedIssuer, of *facts, word word) {
	if len(ids) == 0 {
		refuse("broken-path", "a CA issued the certificate, and the proof names none")
	}
	// 1. The issuer
	path := []authority{readAuthority(ids[0], word)}
	requireIssuer(ids[0], path[0], named, of.submittedAt, word)
	// 2. Those above it, up to a root
	for _, id := range ids[1:] {
		path = append(path, readAuthority(id, word))
	}
	above := append(append([][]byte{}, ids[1:]...), make([]byte, 32))
	for index, each := range path {
		if !bytes.Equal(each.parent, above[index]) {
			refuse("broken-path", "the CAs do not lead from the issuer to a root, each to the one above it")
		}
	}
	// 3. Scope and time of each inside those of the one above
	scope, until := named.Scope, of.notAfter
	for _, each := range path {
		if scope == 0 || scope&^each.scope != 0 {
			refuse("issuer-out-of-scope", "a CA is trusted for scope %d, and %d is needed", each.scope, scope)
		}
		if until > each.trustedUntil {
			refuse("issuer-outlived", "what a CA issued lives longer than it is trusted")
		}
		scope, until = each.scope, each.trustedUntil
	}
	// 4. The first withdrawal, of several in one block the lowest
	of.issuerScope = path[0].scope
	for _, each := range path {
		if each.withdrawnAt != 0 && (of.issuerWithdrawnAt == 0 || each.withdrawnAt < of.issuerWithdrawnAt) {
			of.issuerReason, of.issuerWithdrawnAt = each.reason, each.withdrawnAt
		}
	}
	if of.issuerReason == 1 { // keyCompromise of a CA is told as cACompromise
		of.issuerReason = 2
	}
}

func requireIssuer(id []byte, found authority, named *NamedIssuer, submittedAt uint64, word word) {
	slot := mappingSlot(id, 0)
	called := func(number int64) []byte { return word32(word(plus(slot, number))) }
	name, keyIdentifier := called(2), called(3)
	if named == nil || !bytes.Equal(name, named.Name) || !bytes.Equal(keyIdentifier, named.KeyIdentifier) {
		refuse("other-issuer", "the proof's CA has another name or key identifier than the certificate's issuer")
	}
	// The contract sees to it that in no second two of one name issue.
	if submittedAt < found.trustedFrom || (found.replacedAt != 0 && submittedAt >= found.replacedAt) {
		refuse("issuer-not-then", "the proof's CA was not the issuer of that name when the certificate was submitted")
	}
}
