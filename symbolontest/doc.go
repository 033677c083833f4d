// Package symbolontest is what programs that use Symbolon test themselves
// with: real servers that start in a second, and doubles that can fail on
// purpose. Everything runs on the loopback interface, in temporary folders,
// and is gone when the test is over.
//
// # A real Ory Kratos
//
// [StartKratos] runs Ory Kratos v1.3.1 itself, with the hooks that
// `symbolon actions print` writes laid over a complete configuration:
//
//	kratos := symbolontest.StartKratos(t, symbolontest.KratosConfig{Overlay: actions})
//	ada, err := kratos.Register(ctx, "ada@example.com", "correct horse battery", "Ada")
//
// Kratos is built from source the first time, about two minutes, and kept in
// the user's cache folder ([BuildKratos]). That takes the go command, gcc and
// the module proxy. Tests that need no hooks may share one Kratos: [SharedKratos].
//
// # A real Postgres
//
// [SharedPostgres] starts a private cluster from the machine's own Postgres
// package, one for the whole test binary; [Postgres.NewDatabase] makes an
// empty database in it. A test binary that shares one says so:
//
//	func TestMain(m *testing.M) { symbolontest.Main(m) }
//
// Where Postgres is missing the test fails and says what to install. It is
// never skipped: a test that did not run proves nothing.
package symbolontest
