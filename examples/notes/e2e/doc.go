// Package e2e has the tests that use the notes application as people do: a real Chromium, a real Ory Kratos set up as in ory/, the
// application with Symbolon and Ory's hooks in its own process.
//
// NOTES_SCREENSHOTS=folder keeps a picture of every page that a test looks at.
package e2e
