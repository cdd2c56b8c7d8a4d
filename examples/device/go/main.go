// Makes a key and a small-cell certificate with Go's standard library alone.
//
// Usage: go run . ORGANISATION NAME DAYS FOLDER
// Writes FOLDER/NAME.key.pem (PKCS#8, mode 0600) and FOLDER/NAME.der; overwrites nothing.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	path, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "device:", err)
		os.Exit(65)
	}
	fmt.Println(path)
}

func run(arguments []string) (string, error) {
	if len(arguments) != 4 {
		return "", errors.New("usage: device ORGANISATION NAME DAYS FOLDER")
	}
	organisation, name, folder := arguments[0], arguments[1], arguments[3]
	days, err := strconv.ParseUint(arguments[2], 10, 16)
	if err != nil {
		return "", fmt.Errorf("DAYS: a whole number, not %q", arguments[2])
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	certificate, err := issue(key, organisation, name, int(days))
	if err != nil {
		return "", err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	protected := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	if err := writeNew(filepath.Join(folder, name+".key.pem"), protected, 0o600); err != nil {
		return "", err
	}
	path := filepath.Join(folder, name+".der")
	return path, writeNew(path, certificate, 0o644)
}

// issue returns a self-signed certificate in DER: keyUsage digitalSignature, no CA, SKI, and the name as dNSName.
func issue(key *ecdsa.PrivateKey, organisation, name string, days int) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	identifier := sha256.Sum256(spki)
	begin := time.Now().UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: serial.SetBit(serial, 126, 1), // never zero
		Subject:      pkix.Name{Organization: []string{organisation}},
		NotBefore:    begin,
		// A day here is 24 hours, as the profile counts them.
		NotAfter:           begin.Add(time.Duration(days) * 24 * time.Hour),
		KeyUsage:           x509.KeyUsageDigitalSignature,
		DNSNames:           []string{name},
		SubjectKeyId:       identifier[:20],
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	return x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
}

func writeNew(path string, content []byte, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
