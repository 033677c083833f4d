package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// keySet are the public keys of one reading of a JWKS, by their kid.
type keySet struct {
	keys   map[string]*publicKey
	unused []string // why the other keys are of no use

	asked int64     // of Keys.mono: when it was asked for
	wall  time.Time // the same by the wall clock
}

// publicKey is a key and the one algorithm that it is for.
type publicKey struct {
	kid       string
	algorithm jose.SignatureAlgorithm
	public    any
	print     [32]byte // its RFC 7638 thumbprint
}

// same reports whether it is still the key that verified something before.
func (k *publicKey) same(other *publicKey) bool {
	return other != nil && k.kid == other.kid && k.algorithm == other.algorithm && k.print == other.print
}

// Limits of one set.
const (
	maxJWKS     = 256 << 10
	maxJWKSKeys = 64
	minRSABits  = 2048
	maxRSABits  = 8192
)

// secretMembers hold private or symmetric keys.
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parseJWKS reads a set. A key of another purpose or algorithm is left out; a set that
// must not have been published, or in which a kid means two keys, is refused whole.
func parseJWKS(doc []byte, allowed []jose.SignatureAlgorithm) (*keySet, error) {
	if len(doc) > maxJWKS {
		return nil, errors.New("it has more than 256 kB")
	}
	members, err := strictjson.Object(doc)
	if err != nil {
		return nil, fmt.Errorf("it is no key set: %w", err)
	}
	var items []json.RawMessage
	if json.Unmarshal(members["keys"], &items) != nil || len(items) > maxJWKSKeys {
		return nil, fmt.Errorf(`it is no key set: it must be {"keys": […]} with at most %d keys`, maxJWKSKeys)
	}
	set := &keySet{keys: map[string]*publicKey{}}
	for n, item := range items {
		key, err := parseJWK(item, allowed)
		var leftOut unused
		switch {
		case errors.As(err, &leftOut):
			set.unused = append(set.unused, fmt.Sprintf("key %d: %s", n+1, leftOut))
		case err != nil:
			return nil, fmt.Errorf("key %d: %w", n+1, err)
		case set.keys[key.kid] != nil:
			return nil, fmt.Errorf("key %d: an earlier key has its kid: which one is meant cannot be told", n+1)
		default:
			set.keys[key.kid] = key
		}
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("it has no key that can be used: %d keys %s", len(items), strings.Join(set.unused, "; "))
	}
	return set, nil
}

// unused is why a key of a set is left out.
type unused string

func (u unused) Error() string { return string(u) }

// parseJWK reads one key. An error that is unused leaves it out; any other makes the
// whole set one that must not be believed.
func parseJWK(item json.RawMessage, allowed []jose.SignatureAlgorithm) (*publicKey, error) {
	members, err := strictjson.Object(item)
	if err != nil {
		return nil, errors.New("it is no object")
	}
	kty, _ := textOf(members["kty"])
	for _, name := range secretMembers {
		if _, there := members[name]; there || kty == "oct" {
			return nil, errors.New("it is a private or a symmetric key, with which anybody can make tokens: publish only the public halves " +
				"(take d, p, q, dp, dq and qi away), and take it for stolen if others could read it here")
		}
	}
	kid, _ := textOf(members["kid"])
	switch {
	case kid == "" || len(kid) > maxKeyID:
		return nil, unused("it has no kid")
	case !forSignatures(members):
		return nil, unused("its use or key_ops is not to verify signatures")
	}
	public, err := publicOf(kty, members)
	if err != nil {
		return nil, err
	}
	algorithm, err := algorithmOf(members, public.Key)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(allowed, algorithm) {
		return nil, unused("its alg is not among the algorithms that are believed")
	}
	digest, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &publicKey{kid: kid, algorithm: algorithm, public: public.Key, print: [32]byte(digest)}, nil
}

func forSignatures(members map[string]json.RawMessage) bool {
	if raw, there := members["use"]; there {
		if use, _ := textOf(raw); use != "sig" {
			return false
		}
	}
	raw, there := members["key_ops"]
	if !there {
		return true
	}
	ops, ok := textsOf(raw)
	return ok && slices.Contains(ops, "verify")
}

// publicOf reads the key itself and nothing that lies beside it: no certificates.
func publicOf(kty string, members map[string]json.RawMessage) (public jose.JSONWebKey, err error) {
	const bad = unused("it is no sound public key of kty EC, OKP (Ed25519) or RSA")
	plain := map[string]json.RawMessage{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if raw, there := members[name]; there {
			plain[name] = raw
		}
	}
	if kty != "EC" && kty != "OKP" && kty != "RSA" {
		return public, bad
	}
	text, err := json.Marshal(plain)
	if err != nil || public.UnmarshalJSON(text) != nil || !public.Valid() || !public.IsPublic() {
		return public, bad
	}
	if k, ok := public.Key.(*rsa.PublicKey); ok && (k.N.BitLen() < minRSABits || k.N.BitLen() > maxRSABits) {
		return public, unused(fmt.Sprintf("its RSA key has not %d to %d bits", minRSABits, maxRSABits))
	}
	return public, nil
}

// algorithmOf is the one algorithm that a key is for.
func algorithmOf(members map[string]json.RawMessage, public any) (jose.SignatureAlgorithm, error) {
	var fits []jose.SignatureAlgorithm
	switch k := public.(type) {
	case ed25519.PublicKey:
		fits = []jose.SignatureAlgorithm{jose.EdDSA}
	case *ecdsa.PublicKey:
		fits = []jose.SignatureAlgorithm{map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[k.Params().BitSize]}
	case *rsa.PublicKey:
		fits = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	}
	raw, there := members["alg"]
	if !there && len(fits) == 1 {
		return fits[0], nil
	}
	alg, _ := textOf(raw)
	if !slices.Contains(fits, jose.SignatureAlgorithm(alg)) {
		return "", unused("it has no alg that fits its kty and crv")
	}
	return jose.SignatureAlgorithm(alg), nil
}
