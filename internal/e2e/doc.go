// Package e2e is shared by the end-to-end tests. It has ports, proxies as programs, and
// the number of tests that run at once. Only tests import it.
//
// The tests are in two folders. library tests the library with a real Kratos and its
// store on SQLite and on Postgres. server tests the server as a process of its own. Each
// test checks one promise of Symbolon. Most tests cause a failure first.
package e2e
