package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Memory is shared by replicas. With it a replica can check a 401 also for a session that
// only another replica has seen, or that was seen before a restart. sqlstore.Replicas
// implements it. Methods may be called by many goroutines at once.
type Memory interface {
	// Remember keeps the session of each credential for at least a day. The key is a hash
	// that reveals no credential. It is called in the background, with up to a thousand
	// sessions at a time.
	Remember(ctx context.Context, sessions map[[32]byte]string) error

	// Recall returns the session of a credential, or "" for a credential that no replica
	// has seen. An error is "don't know".
	Recall(ctx context.Context, credential [32]byte) (session string, err error)
}

// writeDelay is how long sessions are collected before they are written to Memory. If the
// process is killed, the sessions of this time are lost, and are treated as never seen.
const writeDelay = 200 * time.Millisecond

// maxMemoryPending bounds the sessions that wait for a database that is down.
const maxMemoryPending = 100_000

// know remembers the session of a credential, here and in Memory.
func (v *Verifier) know(k key, session string) {
	id, err := symbolon.UserID(session).UUID()
	if err != nil {
		return // cannot happen, because package ory accepts only UUIDs
	}
	if v.known.remember(k, id, v.mono(), v.today()) && v.Memory != nil {
		v.memoryOut.put(k, session)
	}
}

// recall returns the ID of a credential's session if any replica has seen it. The ID is
// endedSession if the session is proved to have ended.
func (v *Verifier) recall(ctx context.Context, k key) (session string, known bool, err error) {
	if id, ok := v.known.recall(k); ok {
		return string(symbolon.UserIDFromUUID(id)), true, nil
	}
	if v.Memory == nil {
		return "", false, nil
	}
	session, err = v.Memory.Recall(ctx, k)
	if err != nil {
		return "", false, fmt.Errorf("session: whoami says 401, and Memory cannot say whether the session was seen before: %w", err)
	}
	if session == "" {
		return "", false, nil
	}
	if id, err := symbolon.UserID(session).UUID(); err == nil {
		v.known.remember(k, id, v.mono(), 0) // day 0: the session is written again when it is seen again
	}
	return session, true, nil
}

func (v *Verifier) today() int64 { return v.now().Unix() / (24 * 60 * 60) }

// sessionID is a session's UUID in 16 bytes, because up to a million of them are kept. Zero
// means that the session is proved to have ended.
type sessionID [16]byte

// endedSession is the zero sessionID as text.
const endedSession = "00000000-0000-0000-0000-000000000000"

// knownSessions remembers the session of each credential that was valid once, so that a
// later 401 can be checked. It keeps two generations and drops the older one as a whole. So
// it holds at most twice limit sessions, and keeps each for at least a day unless there are
// too many.
type knownSessions struct {
	limit int

	mu         sync.Mutex // protects the fields below
	turned     int64      // when young became old
	young, old map[key]known
}

type known struct {
	session sessionID
	day     int32 // the day on which it was last written to Memory
}

const knownFor = 24 * time.Hour

func newKnownSessions(limit int) *knownSessions {
	return &knownSessions{limit: limit, young: map[key]known{}}
}

// remember remembers the session of a credential. It reports whether the session is new, or
// new on this day.
func (s *knownSessions) remember(k key, session sessionID, mono, day int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.young[k]
	if ok && was == (known{session, int32(day)}) {
		return false
	}
	if !ok {
		was = s.old[k]
	}
	if len(s.young) >= s.limit || mono-s.turned > int64(knownFor) {
		s.old, s.young, s.turned = s.young, map[key]known{}, mono
	}
	s.young[k] = known{session, int32(day)}
	return was != s.young[k]
}

// has reports whether a credential was valid once and is not proved to have ended.
func (s *knownSessions) has(k key) bool {
	id, ok := s.recall(k)
	return ok && id != sessionID{}
}

func (s *knownSessions) recall(k key) (sessionID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.young[k]; ok {
		return k.session, true
	}
	was, ok := s.old[k]
	return was.session, ok
}
