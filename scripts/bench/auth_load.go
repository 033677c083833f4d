package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load has the figures of one server in one slice.
type load struct {
	perSecond float64
	p99       time.Duration
}

// loads are the loads of all rounds, by server and kind of credential.
type loads map[string][]load

// ask keeps a few connections busy with prepared requests. It does not use net/http's
// client, because that would need more CPU than the measured server. Every answer must be
// a 200 with a user.
func ask(ctx context.Context, address string, requests [][]byte, conns int, slice time.Duration) (load, error) {
	var wg sync.WaitGroup
	var turn atomic.Int64
	took, failed := make([][]time.Duration, conns), make([]error, conns)
	began := time.Now()
	for n := range conns {
		wg.Go(func() {
			took[n], failed[n] = askOn(ctx, address, func() []byte { return requests[int(turn.Add(1))%len(requests)] }, began.Add(slice))
		})
	}
	wg.Wait()
	passed := time.Since(began)
	if err := errors.Join(failed...); err != nil {
		return load{}, fmt.Errorf("%s: %w", address, err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return load{float64(len(all)) / passed.Seconds(), all[len(all)*99/100]}, nil
}

// answerWithin is the timeout of one answer.
const answerWithin = 10 * time.Second

func askOn(ctx context.Context, address string, next func() []byte, end time.Time) (took []time.Duration, err error) {
	conn, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(end.Add(answerWithin)); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(conn, 16<<10)
	took = make([]time.Duration, 0, 1<<15)
	for sent := time.Now(); sent.Before(end) || len(took) == 0; {
		if _, err := conn.Write(next()); err != nil {
			return nil, err
		}
		if err := readAnswer(in); err != nil {
			return nil, err
		}
		now := time.Now()
		took = append(took, now.Sub(sent))
		sent = now
	}
	return took, nil
}

var (
	lineOK     = []byte("HTTP/1.1 200 ")
	lineLength = []byte("Content-Length: ")
	lineUser   = []byte("X-User-Id: ")
)

// readAnswer parses only the necessary parts of an answer.
func readAnswer(in *bufio.Reader) error {
	length, user := 0, false
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case n == 0 && !bytes.HasPrefix(line, lineOK):
			return fmt.Errorf("the answer is %q", line)
		case bytes.HasPrefix(line, lineLength):
			if length, err = strconv.Atoi(string(line[len(lineLength):])); err != nil {
				return err
			}
		case bytes.HasPrefix(line, lineUser):
			user = len(line) > len(lineUser)
		case len(line) == 0:
			if !user {
				return errors.New("an answer names no user")
			}
			_, err := io.CopyN(io.Discard, in, int64(length))
			return err
		}
	}
}

// requestsOf returns the requests of some people, by cookie and by token.
func requestsOf(people []person) (byCookie, byToken [][]byte) {
	const head = "GET /auth HTTP/1.1\r\nHost: app.example.org\r\nUser-Agent: bench\r\nAccept: */*\r\n"
	for _, p := range people {
		byCookie = append(byCookie, []byte(head+"Cookie: ory_kratos_session="+p.Cookie+"\r\n\r\n"))
		byToken = append(byToken, []byte(head+"X-Session-Token: "+p.Token+"\r\n\r\n"))
	}
	return byCookie, byToken
}

// each8 calls do for 0 to n-1, 8 at once, and stops at the first error.
func each8(n int, do func(int) error) error {
	var wg sync.WaitGroup
	var turn atomic.Int64
	failed := make([]error, 8)
	for at := range failed {
		wg.Go(func() {
			for i := int(turn.Add(1)) - 1; i < n && failed[at] == nil; i = int(turn.Add(1)) - 1 {
				failed[at] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}
