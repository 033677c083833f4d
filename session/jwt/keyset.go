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

// keySet holds the public keys of one reading of a JWKS, by kid.
type keySet struct {
	keys   map[string]*publicKey
	unused []string // why each of the other keys is unused

	asked int64         // of Keys.mono: when the reading began
	age   time.Duration // how long a cache may have kept the set
	wall  time.Time     // the beginning of the reading by the wall clock, less the age
}

// lacks reports whether the set is newer than the token. If the token's key is not in a newer
// set, the key does not exist.
func (s *keySet) lacks(t *Token) bool { return s.wall.Sub(t.Issued) > Leeway }

// publicKey is a key with the one algorithm for which it is used.
type publicKey struct {
	kid       string
	algorithm jose.SignatureAlgorithm
	public    any
	print     [32]byte // its RFC 7638 thumbprint
}

// same reports whether two keys of different readings are the same.
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

// parseJWKS reads a set. It leaves out a key with another purpose or algorithm. It refuses
// the whole set if the set holds a secret key, or if two keys have the same kid.
func parseJWKS(doc []byte, allowed []jose.SignatureAlgorithm) (*keySet, error) {
	if len(doc) > maxJWKS {
		return nil, errors.New("it is larger than 256 kB")
	}
	members, err := strictjson.Object(doc)
	if err != nil {
		return nil, fmt.Errorf("it is not a key set: %w", err)
	}
	var items []json.RawMessage
	if json.Unmarshal(members["keys"], &items) != nil || len(items) > maxJWKSKeys {
		return nil, fmt.Errorf(`it is not a key set: it must be {"keys": […]} with at most %d keys`, maxJWKSKeys)
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
			return nil, fmt.Errorf("key %d: an earlier key has the same kid", n+1)
		default:
			set.keys[key.kid] = key
		}
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("it has no usable key: %d keys %s", len(items), strings.Join(set.unused, "; "))
	}
	return set, nil
}

// unused is the reason why a key is left out of a set.
type unused string

func (u unused) Error() string { return string(u) }

// parseJWK reads one key. An unused error leaves the key out; any other refuses the whole
// set.
func parseJWK(item json.RawMessage, allowed []jose.SignatureAlgorithm) (*publicKey, error) {
	members, err := strictjson.Object(item)
	if err != nil {
		return nil, errors.New("it is not a JSON object")
	}
	kty, _ := strictjson.Text(members["kty"])
	for _, name := range secretMembers {
		if _, there := members[name]; there || kty == "oct" {
			return nil, errors.New("it is a private or a symmetric key, with which anybody can make tokens: publish only the public halves " +
				"(remove d, p, q, dp, dq and qi), and replace the key if others could read it here")
		}
	}
	kid, _ := strictjson.Text(members["kid"])
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
		return nil, unused("its alg is not among the algorithms that are accepted")
	}
	digest, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &publicKey{kid: kid, algorithm: algorithm, public: public.Key, print: [32]byte(digest)}, nil
}

func forSignatures(members map[string]json.RawMessage) bool {
	if raw, there := members["use"]; there {
		if use, _ := strictjson.Text(raw); use != "sig" {
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

// publicOf reads the key itself and ignores the other members, such as certificates.
func publicOf(kty string, members map[string]json.RawMessage) (public jose.JSONWebKey, err error) {
	const bad = unused("it is not a valid public key of kty EC, OKP (Ed25519) or RSA")
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
		return public, unused(fmt.Sprintf("its RSA key has fewer than %d or more than %d bits", minRSABits, maxRSABits))
	}
	return public, nil
}

// algorithmOf returns the one algorithm for which a key is used.
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
	alg, _ := strictjson.Text(raw)
	if !slices.Contains(fits, jose.SignatureAlgorithm(alg)) {
		return "", unused("it has no alg that fits its kty and crv")
	}
	return jose.SignatureAlgorithm(alg), nil
}
