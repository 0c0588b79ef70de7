package zootls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// The object identifiers of PKCS #5 (RFC 8018) that openssl writes.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// maxIterations bounds what a key file can make us compute; openssl writes 2048.
const maxIterations = 1_000_000

var errOldCipher = errors.New("its cipher is not read: openssl pkcs8 -topk8 -v2 aes-256-cbc writes one that is")

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct{ Derive, Cipher pkix.AlgorithmIdentifier }

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// decrypt returns the PKCS #8 key in an EncryptedPrivateKeyInfo (PBES2 with PBKDF2 and AES).
func decrypt(der []byte, password string) ([]byte, error) {
	if password == "" {
		return nil, errors.New("no keyStore.password is set")
	}
	var outer encryptedKey
	var params pbes2
	var derive pbkdf2Params
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil, err
	}
	if !outer.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, errOldCipher
	}
	if _, err := asn1.Unmarshal(outer.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	if !params.Derive.Algorithm.Equal(oidPBKDF2) {
		return nil, errOldCipher
	}
	if _, err := asn1.Unmarshal(params.Derive.Parameters.FullBytes, &derive); err != nil {
		return nil, err
	}
	if derive.Iterations < 1 || derive.Iterations > maxIterations {
		return nil, fmt.Errorf("%d iterations, at most %d are computed", derive.Iterations, maxIterations)
	}
	size, err := keySize(params.Cipher.Algorithm)
	if err != nil {
		return nil, err
	}
	prf, err := prfOf(derive.PRF.Algorithm)
	if err != nil {
		return nil, err
	}
	key, err := pbkdf2.Key(prf, password, derive.Salt, derive.Iterations, size)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	return unpad(key, iv, outer.Data)
}

func keySize(oid asn1.ObjectIdentifier) (int, error) {
	switch {
	case oid.Equal(oidAES128CBC):
		return 16, nil
	case oid.Equal(oidAES192CBC):
		return 24, nil
	case oid.Equal(oidAES256CBC):
		return 32, nil
	}
	return 0, errOldCipher
}

func prfOf(oid asn1.ObjectIdentifier) (func() hash.Hash, error) {
	switch {
	case len(oid) == 0, oid.Equal(oidHMACSHA1):
		return sha1.New, nil
	case oid.Equal(oidHMACSHA256):
		return sha256.New, nil
	case oid.Equal(oidHMACSHA512):
		return sha512.New, nil
	}
	return nil, errOldCipher
}

// unpad decrypts by AES-CBC and takes the padding off; a wrong password shows in it.
func unpad(key, iv, data []byte) ([]byte, error) {
	wrong := errors.New("keyStore.password does not fit")
	if len(iv) != aes.BlockSize || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, wrong
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	n := int(plain[len(plain)-1])
	if n < 1 || n > aes.BlockSize {
		return nil, wrong
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, wrong
		}
	}
	return plain[:len(plain)-n], nil
}
