// Package e2e tests the notes application as people use it: with a real Chromium, a real
// Ory Kratos configured as in ory/, and the application with Symbolon and Ory's hooks in
// its own process.
//
// NOTES_SCREENSHOTS=folder saves a picture of every page that a test opens.
package e2e
