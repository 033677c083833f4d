// Package symbolontest helps programs that use Symbolon to test themselves. It has real
// servers that start in a second, and fakes that can fail on purpose. Everything runs on
// the loopback interface and in temporary folders, and is removed at the end of the test.
//
// # A real Ory Kratos
//
// [StartKratos] runs Ory Kratos v1.3.1 with a complete configuration. The hooks that
// `symbolon actions print` prints are merged into it:
//
//	kratos := symbolontest.StartKratos(t, symbolontest.KratosConfig{Overlay: actions})
//	ada, err := kratos.Register(ctx, "ada@example.com", "correct horse battery", "Ada")
//
// Kratos is built from source the first time, in about two minutes, and kept in the
// user's cache folder ([BuildKratos]). The build needs the go command, gcc and the module
// proxy. Tests that need no hooks can share one Kratos: [SharedKratos].
//
// # A real Postgres
//
// [SharedPostgres] starts one private cluster for the whole test binary, from the
// machine's own Postgres package. [Postgres.NewDatabase] creates an empty database in it.
// The test binary stops shared servers in its TestMain:
//
//	func TestMain(m *testing.M) { symbolontest.Main(m) }
//
// If Postgres is missing, the test fails and names the package to install. It is never
// skipped, because a skipped test proves nothing.
package symbolontest
