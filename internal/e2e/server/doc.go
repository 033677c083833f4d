// Package server holds the end-to-end tests of the program, which runs as a process of
// its own beside a real Kratos.
package server
