package turn

import (
	"math"
	"time"
)

// Announcement is what an answer of Ory says about the rate limit.
type Announcement struct {
	PerSecond, PerMinute int // 0: not announced

	// Remaining is the rest of the current minute's limit, and Reset the time until its end.
	// Remaining is -1 if the answer does not tell.
	Remaining int
	Reset     time.Duration

	Refused bool          // the answer was 429
	Pause   time.Duration // Ory wants no question for this time
}

const (
	// spare is the part of a minute's limit that may be sent at once. The rest is sent
	// evenly over the minute. So no minute has more questions than the limit, whenever Ory's
	// minute begins.
	spare = 1.0 / 20

	// spareSecond is the same for the limit of a second.
	spareSecond = 1.0 / 3

	// growth is the part of the announced limit by which a cut rate grows in a minute. It is
	// small, so that after a cut the rates of two replicas together exceed the limit by little.
	// They use up a minute's limit at most a second or two before the minute ends.
	growth = 0.03

	// longPause is the shortest pause that means that the minute's limit is used up.
	longPause = 2 * time.Second

	// doubles is the time in which a rate that was learned from a 429 doubles. The rate hardly
	// grows at first. Later it grows fast, because the 429 may have had another reason.
	doubles = 20 * time.Second

	// forget is the time without a 429 after which a learned rate is forgotten.
	forget = time.Minute

	leastRate    = 6   // per minute
	leastLearned = 300 // per minute
)

// rate says when the next question may be sent. The parameter now is the time since the
// [Line] was first used.
//
// If Ory announces its limit, the rate is that limit. If others use the limit as well
// (another replica, or browsers that call whoami themselves), a minute's limit is used up
// early. Then the rate is multiplied by the part of the minute for which the limit lasted
// (at least 0.5, at most 0.95). After that it grows slowly.
//
// If Ory announces nothing, there is no limit until a 429 comes. Then the rate is first the
// number of questions that were sent in the last second. When Ory answers again, the rate is
// averaged over two periods: the good time before the 429, and the refused time after it, in
// which nothing was sent. The pause that Ory asked for does not count as refused time. The
// average is then reduced by 5 %.
type rate struct {
	announced  float64 // per minute; 0: not announced
	current    float64 // per minute; 0: no limit is known
	minute     bucket
	second     bucket // its rate is 0 unless Ory announces a limit for a second
	paused     time.Duration
	windowEnds time.Duration // the end of the minute that Remaining is about; 0: not known
	// stretched is the rate per second until windowEnds, if the rest of the minute's limit
	// is too small for the usual rate. 0: it is large enough.
	stretched  float64
	grown, cut time.Duration // when current last grew, and was last cut
	mayCut     time.Duration // the rate is not cut again before the end of the minute in which it was cut
	sent       recent        // the questions of the last second

	// For a rate that is not announced.
	learned                float64 // the rate per minute to which it was last cut
	refusedAt, recoveredAt time.Duration
	firstPause             time.Duration
}

// bucket is a token bucket.
type bucket struct {
	perSecond, most float64
	level           float64
	at              time.Duration
}

func (b *bucket) refill(now time.Duration) {
	if b.level < b.most {
		b.level = min(b.most, b.level+b.perSecond*(now-b.at).Seconds())
	}
	b.at = now
}

// left is the time until the bucket has at least this number of tokens.
func (b *bucket) left(tokens float64) time.Duration {
	if b.perSecond == 0 || b.level >= tokens {
		return 0
	}
	return time.Duration(math.Ceil((tokens - b.level) / b.perSecond * float64(time.Second)))
}

// limit sets the rate and the size of a bucket. The bucket never gives more in a window
// than the parameter most. The parameter spare is the part of this amount that the bucket
// may give at once.
func (b *bucket) limit(most, spare float64, window time.Duration) {
	b.perSecond, b.most = most*(1-spare)/window.Seconds(), max(1, most*spare)
}

// limited reports whether any limit is known.
func (r *rate) limited(now time.Duration) bool { return r.current > 0 || now < r.paused }

// left is the time until the next question may be sent. After this question the bucket of
// the minute must still hold as many tokens as the parameter reserve says. If the bucket is
// too small for that, a full bucket is enough.
func (r *rate) left(now time.Duration, reserve float64) time.Duration {
	r.advance(now)
	return max(r.paused-now, r.minute.left(min(1+reserve, r.minute.most)), r.second.left(1), 0)
}

// take counts a question that is sent now.
func (r *rate) take(now time.Duration) {
	r.advance(now)
	r.minute.level--
	r.second.level--
	r.sent.add(now, time.Second)
}

// advance moves the buckets and the rate forward to now.
func (r *rate) advance(now time.Duration) {
	if r.windowEnds > 0 && now >= r.windowEnds { // a new minute has begun
		r.minute.level, r.windowEnds, r.stretched = r.minute.most, 0, 0
	}
	if minutes := (now - r.grown).Minutes(); r.current > 0 && minutes > 0 {
		switch {
		case r.announced > 0:
			r.set(min(r.announced, r.current+r.announced*growth*minutes))
		case now-r.cut > forget:
			r.set(0)
		default:
			r.set(r.learned * (1 + math.Pow((now-r.cut).Seconds()/doubles.Seconds(), 3)))
		}
	}
	r.grown = now
	r.minute.refill(now)
	r.second.refill(now)
}

func (r *rate) set(perMinute float64) {
	r.current = perMinute
	r.minute.limit(perMinute, spare, time.Minute)
	if r.stretched > 0 {
		r.minute.perSecond = min(r.minute.perSecond, r.stretched)
	}
}

// learn takes in an answer. The parameter flying is the number of questions that are not
// answered yet.
func (r *rate) learn(now time.Duration, a Announcement, flying int) {
	r.advance(now)
	r.announce(float64(a.PerMinute), float64(a.PerSecond), flying)
	switch {
	case r.announced == 0:
		r.guess(now, a)
	case a.Pause >= longPause:
		r.exhausted(now, a.Pause)
	case a.Pause == 0 && a.Remaining >= 0 && a.Reset > 0:
		r.remaining(now, a, flying)
	}
	r.paused = max(r.paused, now+a.Pause)
}

// announce takes in the limits of a minute and of a second; 0: not announced.
func (r *rate) announce(minute, second float64, flying int) {
	if minute > 0 && minute != r.announced {
		first := r.current == 0
		r.announced = minute
		r.set(minute)
		if first {
			r.minute.level = r.minute.most - float64(flying)
		}
	}
	if second > 0 && second*(1-spareSecond) != r.second.perSecond {
		r.second.limit(second, spareSecond, time.Second)
		r.second.level = min(r.second.level, r.second.most)
	}
}

// remaining adapts to what is left of the current minute's limit, which others may use, too.
func (r *rate) remaining(now time.Duration, a Announcement, flying int) {
	have := float64(a.Remaining - flying)
	even := r.announced * (1 - spare) / 60 // per second
	left := a.Reset.Seconds()              // Ory rounds up to whole seconds
	if left > 2 && have < even*(left-1)*3/4 {
		r.exhausted(now, a.Reset)
	}
	left = max(left-0.5, 0.5)
	r.windowEnds, r.stretched = now+a.Reset, 0
	if r.minute.level = have - even*left; r.minute.level < 0 {
		r.minute.level, r.stretched = 0, max(have, 1)/left
	}
	r.set(r.current)
}

// exhausted cuts the rate at most once a minute. It is called if the minute's limit is used up
// before the minute ends, or if it would be at this rate.
func (r *rate) exhausted(now, reset time.Duration) {
	if now >= r.mayCut {
		r.cutTo(now, r.current*min(max(1-reset.Minutes(), 0.5), 0.95))
		r.mayCut = now + reset
	}
}

// guess learns the rate of an Ory that announces none.
func (r *rate) guess(now time.Duration, a Announcement) {
	switch {
	case a.Refused && r.refusedAt == 0:
		r.refusedAt, r.firstPause = now, a.Pause
		sent := r.sent.of(now, time.Second) * 60
		if r.current > 0 {
			sent = min(sent, r.current)
		}
		r.learnt(now, sent)
	case !a.Refused && r.refusedAt > 0 && now >= r.paused:
		well := min(max((r.refusedAt-r.recoveredAt).Seconds(), 1), 60)
		ill := max(0, (now - r.refusedAt - r.firstPause).Seconds())
		r.learnt(now, r.learned*well/(well+ill)*0.95)
		r.refusedAt, r.recoveredAt = 0, now
	}
}

func (r *rate) learnt(now time.Duration, perMinute float64) {
	r.learned = max(perMinute, leastLearned)
	r.cutTo(now, r.learned)
}

func (r *rate) cutTo(now time.Duration, perMinute float64) {
	r.set(max(perMinute, leastRate))
	r.minute.level = min(r.minute.level, 0)
	r.cut = now
}

// recent counts recent events. An older event has less weight. The methods have a parameter
// last, which is the time in which the weight falls to about a third.
type recent struct {
	count float64
	at    time.Duration
}

func (r *recent) of(now, last time.Duration) float64 {
	return r.count * math.Exp(-(now-r.at).Seconds()/last.Seconds())
}

func (r *recent) add(now, last time.Duration) { r.count, r.at = r.of(now, last)+1, now }
