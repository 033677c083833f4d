// Package library holds the end-to-end tests of the library, with a real Kratos.
package library
