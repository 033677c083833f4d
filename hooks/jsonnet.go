package hooks

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/projection"
)

// The bodies that Ory sends contain only the necessary values, because Jsonnet rounds
// numbers of 2^53 and more, and because a value that is not sent cannot leak. Their Jsonnet
// never fails, because a Jsonnet error would refuse the registration or lose the hint.

// jsonnetGet defines get, which returns a member of an object. It returns null if the
// member is missing or if o is not an object.
const jsonnetGet = `local get(o, k) = if std.isObject(o) && std.objectHas(o, k) then o[k] else null;
`

// jsonnetItem defines item, which returns the n-th item of an array, or the member k of an object.
const jsonnetItem = `local item(o, n, k) = if std.isArray(o) then (if std.length(o) > n then o[n] else null) else get(o, k);
`

// jsonnetVerified defines verified, which returns the verified addresses of a kind.
const jsonnetVerified = `local verified(i, via) =
  local all = get(i, 'verifiable_addresses');
  if std.isArray(all) then [a.value for a in all if get(a, 'verified') == true && get(a, 'via') == via] else [];
local first(all) = if std.length(all) > 0 then all[0] else null;
`

// jsonnetInvite defines invite, which returns the invite of the sign-up form. Strangers write the
// form, so anything but a short text is left out.
const jsonnetInvite = `local invite(ctx) =
  local text = get(get(get(ctx, 'flow'), 'transient_payload'), 'symbolon_invite');
  if std.isString(text) && std.length(text) <= 512 then text else null;
`

const reserveBody = jsonnetGet + jsonnetInvite + `function(ctx) { metadata_public: get(get(ctx, 'identity'), 'metadata_public'), invite: invite(ctx) }
`

// whenFields are the members by which Linker.When decides.
const whenFields = "  schema_id: get(get(ctx, 'identity'), 'schema_id'),\n" +
	"  verified: std.length([a for a in addresses(get(ctx, 'identity')) if get(a, 'verified') == true]) > 0,\n"

// jsonnetAddresses defines addresses, which returns the verifiable addresses of an identity.
const jsonnetAddresses = "local addresses(i) = local all = get(i, 'verifiable_addresses'); if std.isArray(all) then all else [];\n"

// reserveBodyWhen is reserveBody with the members by which Linker.When decides.
const reserveBodyWhen = jsonnetGet + jsonnetInvite + jsonnetAddresses + "function(ctx) {\n" +
	"  metadata_public: get(get(ctx, 'identity'), 'metadata_public'),\n  invite: invite(ctx),\n" + whenFields + "}\n"

const syncBody = jsonnetGet + `function(ctx) { identity_id: get(get(ctx, 'identity'), 'id') }
`

// linkBody sends the identity's ID, its claims, the proof of an invite, and the values of the projected columns. With
// the parameter proof it also sends the proof of a reserved ID, and with when the members by
// which Linker.When decides.
func linkBody(key string, paths []string, proof, when bool) string {
	var b strings.Builder
	b.WriteString(jsonnetGet + jsonnetItem + jsonnetVerified)
	if when {
		b.WriteString(jsonnetAddresses)
	}
	b.WriteString("function(ctx) {\n" +
		"  identity_id: get(get(ctx, 'identity'), 'id'),\n" +
		"  id: get(get(get(ctx, 'identity'), 'metadata_public'), " + quoted(key) + "),\n" +
		"  external_id: get(get(ctx, 'identity'), 'external_id'),\n")
	if proof {
		b.WriteString("  reserved: get(get(get(ctx, 'identity'), 'metadata_public'), " + quoted(mint.ReservedKey(key)) + "),\n")
	}
	b.WriteString("  invited: get(get(get(ctx, 'identity'), 'metadata_public'), " + quoted(mint.InvitedKey(key)) + "),\n")
	if when {
		b.WriteString(whenFields)
	}
	b.WriteString("  created_at: get(get(ctx, 'identity'), 'created_at'),\n" +
		"  columns: {\n")
	for _, path := range paths {
		b.WriteString("    " + quoted(path) + ": " + expression(path) + ",\n")
	}
	b.WriteString("  },\n}\n")
	return b.String()
}

func expression(path string) string {
	switch path {
	case "active":
		return "get(get(ctx, 'identity'), 'state') != 'inactive'"
	case "verified_email":
		return "first(verified(get(ctx, 'identity'), 'email'))"
	case "verified_emails":
		return "verified(get(ctx, 'identity'), 'email')"
	case "verified_phone":
		return "first(verified(get(ctx, 'identity'), 'sms'))"
	}
	out := "get(ctx, 'identity')"
	if strings.HasPrefix(path, "transient_payload.") {
		out = "get(ctx, 'flow')"
	}
	for key := range strings.SplitSeq(path, ".") {
		if at, ok := projection.Index(key); ok {
			out = fmt.Sprintf("item(%s, %d, %s)", out, at, quoted(key))
		} else {
			out = "get(" + out + ", " + quoted(key) + ")"
		}
	}
	return out
}

// quoted makes a Jsonnet string. Every JSON string is a Jsonnet string, too.
func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
