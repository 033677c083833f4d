package session

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Memory is what replicas share so that one can prove a 401 of a session that only
// another has seen, also after a restart. sqlstore.Replicas is one. Methods may be
// called by many goroutines at once.
type Memory interface {
	// Remember keeps which session each credential was once, for a day at least. The
	// key is a hash from which no credential can be found. It is called in the
	// background, with up to a thousand at a time.
	Remember(ctx context.Context, sessions map[[32]byte]string) error

	// Recall returns the session that a credential was, or "" for a credential that no
	// replica has seen. An error is "don't know".
	Recall(ctx context.Context, credential [32]byte) (session string, err error)
}

// A process that is killed loses what it has not written to Memory yet: at most the
// sessions of this time. They then count as unknown.
const writeDelay = 200 * time.Millisecond

// maxUnwritten bounds what waits for a database that is down.
const maxUnwritten = 100_000

// know remembers whose session a credential is, here and in Memory.
func (v *Verifier) know(k key, session string) {
	id, err := symbolon.UserID(session).UUID()
	if err != nil {
		return // Ory's are UUIDs: ory has looked
	}
	if v.known.remember(k, id, v.mono(), v.today()) && v.Memory != nil {
		v.memoryOut.put(k, session)
	}
}

// recall returns which session a credential was, as far as any replica knows: its ID, or
// over.
func (v *Verifier) recall(ctx context.Context, k key) (session string, known bool, err error) {
	if id, ok := v.known.recall(k); ok {
		return id.String(), true, nil
	}
	if v.Memory == nil {
		return "", false, nil
	}
	session, err = v.Memory.Recall(ctx, k)
	if err != nil {
		return "", false, fmt.Errorf("session: whoami says 401, and whether the session was seen before cannot be read: %w", err)
	}
	if session == "" {
		return "", false, nil
	}
	if id, err := symbolon.UserID(session).UUID(); err == nil {
		v.known.remember(k, id, v.mono(), 0) // when it is seen again it is written again
	}
	return session, true, nil
}

// writeMemory is the outbox's way to Memory.
func (v *Verifier) writeMemory(ctx context.Context, batch map[key]string) error {
	sessions := make(map[[32]byte]string, len(batch))
	for k, session := range batch {
		sessions[k] = session
	}
	return v.Memory.Remember(ctx, sessions)
}

func (v *Verifier) today() int64 { return v.now().Unix() / (24 * 60 * 60) }

// sessionID is a UUID in the little room that a million of them should take.
type sessionID [16]byte

// over stands for the ID of a session that is proved to be over.
const over = "00000000-0000-0000-0000-000000000000"

func (id sessionID) String() string {
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// knownSessions remembers which session a credential was once, so that a later
// 401 can be proved. Two generations bound its size and its age without a clock of
// its own: at most twice limit, at least a day unless it overflows.
type knownSessions struct {
	limit int

	mu         sync.Mutex // protects all that follows
	turned     int64
	young, old map[key]known // two generations
}

type known struct {
	session sessionID
	day     int32 // of its last writing to Memory
}

const knownFor = 24 * time.Hour

func newKnownSessions(limit int) *knownSessions {
	return &knownSessions{limit: limit, young: map[key]known{}}
}

// remember reports whether that is news of the day.
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

// ended remembers that a credential's session is over for good.
func (s *knownSessions) ended(k key, mono int64) { s.remember(k, sessionID{}, mono, 0) }

// has reports whether a credential was good once.
func (s *knownSessions) has(k key) bool { _, ok := s.recall(k); return ok }

func (s *knownSessions) recall(k key) (sessionID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.young[k]; ok {
		return k.session, true
	}
	was, ok := s.old[k]
	return was.session, ok
}
