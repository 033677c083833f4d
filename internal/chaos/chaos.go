// Package chaos has the faults that tests cause, one file for each:
//
//   - relay.go: a connection to a server falls silent, is slow, is reset, or loses its
//     answers ([Relay]).
//   - foreign.go: another process uses the same SQLite file ([SQLite3], [Python]).
//   - second.go: a second server uses the same database ([Second]).
//   - clock.go: a wall clock is wrong ([Clock]).
//   - terminate.go: Postgres ends its connections ([Terminate]).
//   - readonly.go: Postgres has become a standby ([ReadOnly], [Demote]).
//   - diskfull.go: a disk is full ([Disk]).
//
// Faults of Ory are in symbolontest/fakeory. Package child pauses and kills processes. A
// lost answer to one chosen commit is in the tests of sqlstore, because it is a fault of the
// database's protocol.
//
// docs/goroutines.md lists what may wait during such a fault: every goroutine and every
// question of the server, with its deadline. Only tests import this package.
package chaos
