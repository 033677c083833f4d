// Package e2e is what the end-to-end tests share: ports, proxies as programs of their own,
// and the number of worlds that may run at once. Only tests import it.
//
// The tests are in two folders below. library has the bond as a whole: a real Kratos, the
// library, and its store on SQLite and on Postgres. server has the same with the server as
// a process of its own. Each test is a line of what Symbolon promises; most of them break
// something first.
package e2e
