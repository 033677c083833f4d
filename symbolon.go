// Package symbolon keeps the two halves of a person matched: the identity that
// Ory keeps (credentials, sessions, traits) and the user that the application
// keeps (everything else). It answers one question, "which of my users is this
// request?", and makes sure that the answer exists, is the only one, and never
// changes by accident.
//
// Most programs need three values and one middleware:
//
//	store  := &sqlstore.Store{DB: db, Dialect: sqlstore.Postgres, Users: sqlstore.Users{Table: "accounts"}}
//	linker := &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: store}
//	auth   := &session.Verifier{Linker: linker}
//	mux.Handle("/notes", auth.Require(notes)) // inside: u, _ := symbolon.UserFrom(r.Context())
//
// Every way in (a request, a hook, the operator's word) ends in [link.Linker.Link]:
// one transaction, idempotent, safe to race. What it does is decided by one pure
// function (decide.go) over what was seen at Ory ([Reading]) and what is held here
// ([Evidence]); a [Store] carries the decision out.
//
// Nothing here ever authorises by metadata_public.id: that value is a
// convenience for readers of the identity, and anybody with Ory's admin API can
// write it. The link in the store is what counts.
//
// This package imports the standard library only.
package symbolon

// DefaultProject is the Ory project of an installation that has one only.
const DefaultProject = "default"
