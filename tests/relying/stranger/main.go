// Reads a gateway's answers with Go's own packages: OCSP with golang.org/x/crypto/ocsp, the list with crypto/x509.
//
//	stranger ocsp SIGNERS CERTIFICATE URL   prints good, revoked REASON or unknown
//	stranger issued CA CERTIFICATE URL      the same about a certificate that this CA issued
//	stranger crl SIGNERS FILE               prints serial numbers, one a line
//	stranger part SIGNERS CERTIFICATE FILE  prints listed or not listed, by a list that is about this certificate
package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"

	"golang.org/x/crypto/ocsp"
)

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: ocsp SIGNERS CERTIFICATE URL | issued CA CERTIFICATE URL | crl SIGNERS FILE"))
	}
	signer := certificate(os.Args[2])
	if os.Args[1] == "crl" {
		for _, entry := range list(signer, os.Args[3]).RevokedCertificates {
			fmt.Println(entry.SerialNumber)
		}
		return
	}
	subject := certificate(os.Args[3])
	if os.Args[1] == "part" {
		part(list(signer, os.Args[4]), subject)
		return
	}
	issuer := subject
	if os.Args[1] == "issued" {
		issuer = signer
	}
	ask(signer, subject, issuer, os.Args[4])
}

func ask(signer, subject, issuer *x509.Certificate, url string) {
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		request, err := ocsp.CreateRequest(subject, issuer, &ocsp.RequestOptions{Hash: hash})
		fail(err)
		answer, err := http.Post(url, "application/ocsp-request", bytes.NewReader(request))
		fail(err)
		content, err := io.ReadAll(answer.Body)
		fail(err)
		response, err := ocsp.ParseResponse(content, signer)
		fail(err)
		if response.SerialNumber.Cmp(subject.SerialNumber) != 0 {
			fail(fmt.Errorf("answer about another certificate"))
		}
		switch response.Status {
		case ocsp.Good:
			fmt.Println("good")
		case ocsp.Revoked:
			fmt.Println("revoked", response.RevocationReason)
		default:
			fmt.Println("unknown")
		}
	}
}

func list(signer *x509.Certificate, path string) pkix.TBSCertificateList {
	content, err := os.ReadFile(path)
	fail(err)
	//lint:ignore SA1019 ParseRevocationList wants Go 1.19
	read, err := x509.ParseDERCRL(content)
	fail(err)
	fail(signer.CheckSignature(x509.ECDSAWithSHA256, read.TBSCertList.Raw, read.SignatureValue.RightAlign()))
	return read.TBSCertList
}

// RFC 5280 §5.2.5, as far as crypto/x509 reads distribution points.
type issuingDistributionPoint struct {
	DistributionPoint struct {
		FullName []asn1.RawValue `asn1:"optional,tag:0"`
	} `asn1:"optional,tag:0"`
}

// RFC 5280 §6.3.3 (b) (2) (i): the list and the certificate must have a name in common.
func part(list pkix.TBSCertificateList, subject *x509.Certificate) {
	if subject.Issuer.String() != list.Issuer.String() || !isAbout(list, subject) {
		fail(fmt.Errorf("the list is about other certificates"))
	}
	for _, entry := range list.RevokedCertificates {
		if entry.SerialNumber.Cmp(subject.SerialNumber) == 0 {
			fmt.Println("listed")
			return
		}
	}
	fmt.Println("not listed")
}

func isAbout(list pkix.TBSCertificateList, subject *x509.Certificate) bool {
	for _, extension := range list.Extensions {
		if !extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 28}) {
			continue
		}
		var point issuingDistributionPoint
		rest, err := asn1.Unmarshal(extension.Value, &point)
		fail(err)
		if !extension.Critical || len(rest) != 0 {
			fail(fmt.Errorf("issuingDistributionPoint is not as it must be"))
		}
		for _, name := range point.DistributionPoint.FullName {
			for _, address := range subject.CRLDistributionPoints {
				if name.Tag == 6 && string(name.Bytes) == address {
					return true
				}
			}
		}
		return false
	}
	return true
}

func certificate(path string) *x509.Certificate {
	content, err := os.ReadFile(path)
	fail(err)
	block, _ := pem.Decode(content)
	if block == nil {
		fail(fmt.Errorf("%s holds no PEM", path))
	}
	read, err := x509.ParseCertificate(block.Bytes)
	fail(err)
	return read
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
