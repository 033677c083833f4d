// Package e2e holds the tests of the bond as a whole: a real Kratos, the library,
// and its store on SQLite and on Postgres. Each test is a line of what Symbolon
// promises; most of them break something first.
package e2e
