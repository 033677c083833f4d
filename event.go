package symbolon

import (
	"time"
)

// EventKind names a change of a bond.
type EventKind string

const (
	UserLinked    EventKind = "user.linked"    // an identity got its user
	UserUnlinked  EventKind = "user.unlinked"  // an adoption was undone
	UserUpdated   EventKind = "user.updated"   // projected columns were written
	UserRecreated EventKind = "user.recreated" // a deleted user was replaced by a new one
	UserForgotten EventKind = "user.forgotten" // the application deleted its user
	LinkHeld      EventKind = "link.held"      // the identity was put on hold
	LinkMoved     EventKind = "link.moved"     // the operator moved a bond; if the event has a user, the identity became a further one of this user
	IdentityGone  EventKind = "identity.gone"  // Ory no longer has the identity; the user's row followed the policy
	UserErased    EventKind = "user.erased"    // the operator erased the person
	ClaimRefused  EventKind = "claim.refused"  // a claim on an existing user was refused
	FindingOpened EventKind = "finding.opened"
	FindingClosed EventKind = "finding.closed"
)

// Event is one line of the history, written in the transaction of the change.
type Event struct {
	ID       int64 // a later event has a larger ID
	At       time.Time
	Kind     EventKind
	Identity IdentityID
	User     UserID // the user after the change
	Before   UserID // the user before the change; empty if it is the same
	Source   Source
	Finding  FindingKind // set on the events of findings and on link.held
	Detail   string      // a sentence for people, which no program parses

	// Run is the adoption run in which the change was made; empty for all other events.
	Run string

	// Adopted is set on the event user.linked of an adoption, and nil on every other one.
	Adopted *AdoptedBond
}
