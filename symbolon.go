// Package symbolon keeps the two halves of a person matched: the identity that Ory keeps
// (credentials, sessions, traits) and the user that the application keeps (everything
// else). It answers one question, "which of my users is this request?", and makes sure that
// the answer exists, is unique, and never changes by accident.
//
// Most programs need three values and one middleware:
//
//	store  := &sqlstore.Store{DB: db, Dialect: sqlstore.Postgres, Users: sqlstore.Users{Table: "accounts"}}
//	linker := &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: store}
//	auth   := &session.Verifier{Linker: linker}
//	mux.Handle("/notes", auth.Require(notes)) // inside: u, _ := symbolon.UserFrom(r.Context())
//
// This package holds the nouns and the contracts. Package link is the engine: a request, a
// hook and an operator's command all make a bond by the same idempotent transaction.
// Package decide makes the decision from a [Reading] of Ory and the [Evidence] of a
// [Store], without I/O. The Store then applies the [Plan].
//
// Danger: metadata_public.id authorises nothing. It is a convenience for readers of the
// identity, and anybody with Ory's admin API can write it. Symbolon trusts only the link in
// the store.
//
// This package imports the standard library only.
package symbolon

// DefaultProject is the name of the Ory project if an installation has only one.
const DefaultProject = "default"
