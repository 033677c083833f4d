package doctor

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/ory"
)

// Live signs up a test person with a password at Ory's public API, looks for its user
// in the ledger, and deletes identity, row and ledger entry again, also after an error in
// between. If the process is killed, the next examination with Live deletes the person. Two
// events remain, and the user's ID is never used again. Ory may queue a mail to verify the
// address; its domain receives no mail.
type Live struct {
	// Traits are the person's traits. RANDOM in them is replaced by a unique word. It must be
	// part of the identifier that the person signs in with, because only an identity with
	// this word is deleted. Defaults to an e-mail address.
	Traits json.RawMessage

	// Patience is the time that the link hook may take. Defaults to 10 seconds.
	Patience time.Duration

	// Minted reports whether this installation minted an ID. Nil: not known.
	Minted func(symbolon.UserID) bool

	// Reserved does the same for an ID that was drawn from the database, by its proof.
	Reserved func(id symbolon.UserID, proof string) bool

	// Told is called with the unique word before the person is created.
	Told func(word string)
}

// DefaultTraits fit a schema that requires only an e-mail address. The domain is reserved
// (RFC 2606), so it receives no mail.
const DefaultTraits = `{"email":"RANDOM@doctor.invalid"}`

// Placeholder becomes the random word in [Live.Traits].
const Placeholder = "RANDOM"

var liveChecks = []string{"live.registration", "live.reserve", "live.link", "live.cleanup"}

// patient is the test person.
type patient struct {
	d        *Doctor
	word     string // in its traits, and nowhere else
	names    []string
	identity symbolon.Identity
	linked   bool
	refused  bool // Ory refused the sign-up, so there is no such person
}

func (d *Doctor) checkLive(ctx context.Context, report func(string, Result)) {
	if r, ok := d.needLive(); !ok {
		for _, name := range liveChecks {
			report(name, r)
		}
		return
	}
	p := &patient{d: d}
	traits := p.traits()
	j, err := d.openJournal(ctx)
	if err == nil {
		err = j.add(ctx, p)
	}
	if err != nil {
		if j != nil {
			_ = j.close(ctx) // the next examination finds the run open
		}
		for _, name := range liveChecks {
			report(name, unknown("run it again in a minute", "no test person was signed up: %s", err))
		}
		return
	}
	if d.Live.Told != nil {
		d.Live.Told(p.word)
	}
	defer func() { report("live.cleanup", p.cleanUp(ctx, j)) }()
	made := p.signUp(ctx, traits)
	report("live.registration", made)
	if made.Verdict != OK {
		r := unknownUntil("registration", "nobody could sign up")
		report("live.reserve", r)
		report("live.link", r)
		return
	}
	_ = j.created(ctx, p) // without an answer the person is found by the word
	report("live.reserve", p.reserved())
	report("live.link", p.link(ctx))
}

// needLive requires --live, and that the person can be deleted again.
func (d *Doctor) needLive() (Result, bool) {
	if d.Live == nil {
		return skipped("no test person was signed up: --live does that, and deletes the person again"), false
	}
	if r, ok := d.needLedger(); !ok {
		return r, false
	}
	r, ok := d.needAdmin()
	r.Verdict = Unknown // --live was requested, so it is not skipped
	return r, ok
}

// traits fills in the random word.
func (p *patient) traits() json.RawMessage {
	p.word = "symbolon-doctor-" + strings.ToLower(rand.Text())
	traits := p.d.Live.Traits
	if len(traits) == 0 {
		traits = json.RawMessage(DefaultTraits)
	}
	traits = bytes.ReplaceAll(traits, []byte(Placeholder), []byte(p.word))
	p.names = textsWith(traits, p.word)
	return traits
}

// textsWith returns the texts of a JSON document that contain a word. The person may be
// found by any of them.
func textsWith(doc json.RawMessage, word string) (out []string) {
	d := json.NewDecoder(bytes.NewReader(doc))
	for {
		t, err := d.Token()
		if err != nil {
			return out
		}
		if s, ok := t.(string); ok && strings.Contains(s, word) {
			out = append(out, s)
		}
	}
}

func (p *patient) signUp(ctx context.Context, traits json.RawMessage) Result {
	identity, err := patiently(ctx, func(ctx context.Context) (symbolon.Identity, error) {
		return p.d.Ory.Register(ctx, traits, "Sy7!"+rand.Text())
	})
	form, isForm := errors.AsType[*ory.FormError](err)
	switch {
	case err == nil:
		p.identity = identity
		return well("a test person signed up at %s", p.d.Ory.PublicURL)
	case isForm:
		p.refused = true
		return unknown(`give traits that fit your identity schema by --traits JSON, with RANDOM in the values that must be unique, such as "email":"RANDOM@doctor.invalid"`,
			"Ory does not accept the test person: %s", strings.Join(form.Messages, "; "))
	case ctx.Err() != nil:
		return unknown("run it again", "the doctor was interrupted")
	}
	return failedSignUp(strings.TrimPrefix(why(err), "register: "))
}

// failedSignUp reads Ory's message about a hook that Kratos waited for.
func failedSignUp(words string) Result {
	r := problem("Ory could not sign up the test person: %s", words).breaks("nobody can sign up")
	const meanwhile = "until then, remove that hook from Kratos' configuration"
	switch {
	case strings.Contains(words, "/hooks/"):
		return r.fix("Kratos cannot reach that hook: start symbolon serve, or set serve.url (SYMBOLON_SERVE_URL) to the address at which Kratos reaches Symbolon, and print the hooks again by symbolon actions print; %s", meanwhile)
	case strings.Contains(words, "third-party upstream service"), strings.Contains(words, "webhook"):
		return r.fix("a hook that Kratos waits for refused the sign-up: symbolon doctor --kratos-config FILE says whether it is Symbolon's hook, and Kratos' log names the hook; %s", meanwhile)
	}
	return r.fix("read Kratos' log of this minute")
}

// reserved checks the identity in Ory's answer to the sign-up. Nothing else could have
// written to it yet.
func (p *patient) reserved() Result {
	if !p.d.Actions.Reserves() {
		return skipped(noReserve)
	}
	if why := p.d.Actions.When.Refuses(p.identity); why != "" {
		return skipped("%s", noUser(why))
	}
	key := p.d.Actions.BackReference.WithDefaults().Key
	id := p.metadata(key)
	const breaks = "identities are created without the user's ID in metadata_public, so programs that read the ID from the identity do not find it; nothing in Symbolon depends on it"
	switch {
	case id == "":
		return problem("the identity was created without metadata_public.%s: the reserve hook was not called, or its answer was not read", key).breaks(breaks).
			fix("symbolon doctor --kratos-config FILE says which line is wrong, and symbolon_hooks_total{hook=\"reserve\"} in /metrics says what the hook answered; if the reserve hook is left out on purpose, use --without-reserve")
	case !p.ours(symbolon.UserID(id)):
		return problem("the identity was created with a metadata_public.%s that this installation did not make", key).breaks("%s", breaks).
			fix("give every replica of Symbolon, and the doctor, the same secret (SYMBOLON_SECRET) and ory.project; or, if another hook writes metadata_public.%s, choose another back_reference.path", key)
	}
	return well("the reserve hook arrived: the identity was created with a user's ID in metadata_public.%s", key)
}

// ours reports whether this installation reserved the ID, as far as that is known.
func (p *patient) ours(id symbolon.UserID) bool {
	live := p.d.Live
	if p.d.Actions.NewID == symbolon.ByDatabase {
		return live.Reserved == nil || live.Reserved(id, p.metadata(mint.ReservedKey(p.d.Actions.BackReference.WithDefaults().Key)))
	}
	return live.Minted == nil || live.Minted(id)
}

func (p *patient) backReference() symbolon.UserID {
	return symbolon.UserID(p.metadata(p.d.Actions.BackReference.WithDefaults().Key))
}

// metadata returns the text at a key of metadata_public, or "".
func (p *patient) metadata(key string) (text string) {
	var metadata map[string]json.RawMessage
	if json.Unmarshal(p.identity.MetadataPublic, &metadata) != nil || json.Unmarshal(metadata[key], &text) != nil {
		return ""
	}
	return text
}

// noUser says why the test person shows nothing about the hooks.
func noUser(why string) string {
	return "the test person gets no user, as users.when says: " + why + "; sign up a person who gets one, and look at symbolon show"
}

// link waits for the ledger entry.
func (p *patient) link(ctx context.Context) Result {
	if why := p.d.Actions.When.Refuses(p.identity); why != "" {
		return skipped("%s", noUser(why))
	}
	patience := p.d.Live.Patience
	if patience <= 0 {
		patience = 10 * time.Second
	}
	begin := time.Now()
	for {
		rec, err := p.d.Ledger.Record(ctx, p.d.Project, string(p.identity.ID))
		waited := time.Since(begin)
		switch {
		case ctx.Err() != nil:
			return unknown("run it again", "the doctor was interrupted")
		case err != nil && !errors.Is(err, symbolon.ErrNotFound):
			return unknown("run it again", "the ledger cannot be read: %s", err)
		case err == nil && rec.Link != nil:
			return p.linkResult(rec, waited)
		case waited > patience:
			return problem("the link hook did not arrive within %s", patience).
				breaks("people who sign up have no user before their first request").
				fix("symbolon doctor --kratos-config FILE says which line is wrong; Kratos' log has the calls that it tried; symbolon serve must use this database, and Kratos must reach it at %s", p.d.Actions.URL)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *patient) linkResult(rec symbolon.Record, waited time.Duration) Result {
	p.linked = true
	link := rec.Link
	reserved := p.backReference()
	switch {
	case link.State != symbolon.Linked:
		return problem("the person got no user: %s (%s)", link.State, link.Reason).breaks("people who sign up are refused").
			fix("symbolon reconcile lists the finding; the checks of the users table say what the table refuses")
	case link.Source != symbolon.FromLinkHook:
		return unknown("run it again", "the source %q made the user before the hook arrived", link.Source)
	case reserved != "" && p.d.Actions.Reserves() && reserved != link.User:
		return problem("the new user does not have the reserved ID").
			breaks("for everybody who signs up, metadata_public at Ory names a user that does not exist").
			fix("give every replica of Symbolon the same secret (SYMBOLON_SECRET), ory.project and users.new_id")
	}
	return well("the link hook arrived, and made the user, within %s", max(waited, 50*time.Millisecond).Round(50*time.Millisecond))
}

const cleanUpTimeout = 3 * time.Minute

// cleanUp deletes the person on both sides, even if ctx has ended, and the persons of
// examinations that were killed.
func (p *patient) cleanUp(ctx context.Context, j *journal) Result {
	interrupted := ctx.Err() != nil
	ctx, cancel := wait.Detached(ctx, cleanUpTimeout)
	defer cancel()
	r := p.removeSoon(ctx, interrupted)
	if r.Verdict == OK && (p.refused || p.identity.ID != "") {
		_ = j.remove(ctx, p.word) // without an answer the next examination finds that nothing is left
	}
	n, err := p.d.removeEarlier(ctx, j, p.word)
	if closed := j.close(ctx); err == nil {
		err = closed
	}
	switch {
	case r.Verdict == OK && err != nil:
		return problem("%s, but the test person of an examination that was interrupted was not deleted: %s", r.Is, why(err)).
			breaks("nothing, but a test person may still exist").fix("run it again: every examination with --live deletes the persons of interrupted ones")
	case r.Verdict == OK && n > 0:
		r.Is += fmt.Sprintf("; test persons of interrupted examinations that were deleted too: %d", n)
	}
	return r
}

// removeEarlier deletes the persons of examinations that were killed. It keeps the entry of a
// person whom Ory does not have but may still create.
func (d *Doctor) removeEarlier(ctx context.Context, j *journal, own string) (deleted int, err error) {
	for _, e := range j.list() {
		if e.Word == own {
			continue
		}
		p := &patient{d: d, word: e.Word, names: e.Names, identity: symbolon.Identity{ID: e.Identity}}
		const interrupted = false
		if err := p.remove(ctx, interrupted); err != nil {
			return deleted, err
		}
		if p.identity.ID == "" && time.Since(e.At) < lateSignUp {
			continue
		}
		if p.identity.ID != "" {
			deleted++
		}
		if err := j.remove(ctx, e.Word); err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// removeSoon repeats remove while it fails.
func (p *patient) removeSoon(ctx context.Context, interrupted bool) Result {
	var last error
	for pause := 100 * time.Millisecond; pause < 5*time.Second && ctx.Err() == nil; pause *= 2 {
		_, last = patiently(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.remove(ctx, interrupted) })
		switch {
		case last == nil && p.identity.ID == "":
			return well("there was no test person to delete, because nobody signed up")
		case last == nil:
			return well("the test person was deleted again, at Ory and in the database")
		}
		time.Sleep(pause)
	}
	return problem("the test person was not deleted completely: %s", why(last)).
		breaks("nothing, but the test person still exists").
		fix("delete the identity %s at Ory, and the row with that identity in the users table; an identity with %s in its traits is not a real person", cmp.Or(string(p.identity.ID), "(not known)"), p.word)
}

// remove deletes the identities with the word. An interrupted registration may create its
// identity a moment later, so remove looks again.
func (p *patient) remove(ctx context.Context, interrupted bool) error {
	ids, err := p.made(ctx)
	for tries := 0; err == nil && len(ids) == 0 && interrupted && tries < 10; tries++ {
		time.Sleep(200 * time.Millisecond)
		ids, err = p.made(ctx)
	}
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := p.d.Ory.DeleteIdentity(ctx, id); err != nil && !errors.Is(err, symbolon.ErrNotFound) {
			return err
		}
		if err := p.d.Ledger.Unmake(ctx, p.d.Project, id); err != nil {
			return err
		}
		if p.linked {
			continue
		}
		time.Sleep(500 * time.Millisecond) // a hook under way may have read the identity before it was deleted
		if err := p.d.Ledger.Unmake(ctx, p.d.Project, id); err != nil {
			return err
		}
	}
	return nil
}

// made returns the identities that this examination created, found by ID or by the word.
func (p *patient) made(ctx context.Context) (ids []symbolon.IdentityID, err error) {
	if p.identity.ID != "" {
		return []symbolon.IdentityID{p.identity.ID}, nil
	}
	for _, name := range p.names {
		found, err := p.d.Ory.FindByIdentifier(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look for the test person: %w", err)
		}
		for _, i := range found {
			if bytes.Contains(i.Traits, []byte(p.word)) {
				p.identity.ID = i.ID
				ids = append(ids, i.ID)
			}
		}
	}
	return slices.Compact(ids), nil
}
