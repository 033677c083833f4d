package createurl

import (
	"encoding/base64"
	"errors"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/symbolon-id/symbolon"
)

const prefix = "whsec_"

// DeriveSecrets derives the signing secrets from the first two secrets of an
// installation. The current one comes first.
func DeriveSecrets(secrets []symbolon.Secret) []string {
	var out []string
	for _, s := range secrets[:min(2, len(secrets))] {
		out = append(out, prefix+base64.StdEncoding.EncodeToString(s.Derive("create_url")))
	}
	return out
}

// CheckSecret reports why a text is not a signing secret of Standard Webhooks. The error
// never contains the text.
func CheckSecret(secret string) error {
	_, err := signer(secret)
	return err
}

// published is the example secret in the documentation of Standard Webhooks.
const published = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func signer(secret string) (*standardwebhooks.Webhook, error) {
	text, ok := strings.CutPrefix(secret, prefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New(`it must be "whsec_" and the base64 of 24 to 64 bytes (make one: echo whsec_$(openssl rand -base64 32))`)
	}
	distinct := map[byte]bool{}
	for _, b := range key {
		distinct[b] = true
	}
	if len(distinct) < 8 || text == published {
		return nil, errors.New("it can be guessed (make one: echo whsec_$(openssl rand -base64 32))")
	}
	return standardwebhooks.NewWebhookRaw(key)
}
