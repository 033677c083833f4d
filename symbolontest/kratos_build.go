package symbolontest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/symbolon-id/symbolon/internal/child"
)

// KratosVersion is the version of Ory Kratos that [BuildKratos] builds.
const KratosVersion = "v1.3.1"

// The text of the nested module internal/kratos. go:embed cannot read another module. A
// test checks that both are equal.
var (
	//go:embed kratosmod/go.mod.txt
	kratosGoMod []byte
	//go:embed kratosmod/go.sum.txt
	kratosGoSum []byte
	//go:embed kratosmod/main.go.txt
	kratosMain []byte
)

// BuildKratos returns the path of an Ory Kratos program.
//
// It builds the program the first time. The build takes about two minutes on two cores
// and needs the go command, a C compiler and the module proxy. The program is kept in the
// user's cache folder, under a key made of its source and the Go version. Several
// processes may call BuildKratos at once: one builds, and the others wait.
//
// The environment variable SYMBOLON_KRATOS names a program to use instead. It must behave
// as [KratosVersion] does.
func BuildKratos(ctx context.Context) (path string, err error) {
	if path = os.Getenv("SYMBOLON_KRATOS"); path != "" {
		if _, err = exec.LookPath(path); err != nil {
			return "", fmt.Errorf("find Ory Kratos named by SYMBOLON_KRATOS: %w", err)
		}
		return filepath.Abs(path)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place to keep Ory Kratos: %w", err)
	}
	return buildKratosIn(ctx, filepath.Join(cache, "symbolon"))
}

// buildKratosIn builds into a new folder below cache. The folder appears only when it is
// complete.
func buildKratosIn(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "kratos-"+KratosVersion+"-"+kratosKey())
	program := filepath.Join(dir, "kratos"+exeSuffix())
	if isFile(program) {
		return program, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache for Ory Kratos: %w", err)
	}
	unlock, err := lockFile(ctx, dir+".lock")
	if err != nil {
		return "", fmt.Errorf("wait for another build of Ory Kratos: %w", err)
	}
	defer unlock()
	if isFile(program) { // another process has built it
		return program, nil
	}
	if err := buildKratosAt(ctx, dir); err != nil {
		return "", fmt.Errorf("build Ory Kratos %s: %w", KratosVersion, err)
	}
	return program, nil
}

// buildKratosAt builds in a temporary folder beside dir and renames this folder to dir.
func buildKratosAt(ctx context.Context, dir string) error {
	temp, err := os.MkdirTemp(filepath.Dir(dir), "building-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	source := map[string][]byte{"go.mod": kratosGoMod, "go.sum": kratosGoSum, "main.go": kratosMain}
	for name, text := range source {
		if err := os.WriteFile(filepath.Join(temp, name), text, 0o644); err != nil {
			return err
		}
	}
	program := filepath.Join(temp, "kratos"+exeSuffix())
	if err := goBuild(ctx, temp, program); err != nil {
		return err
	}
	if err := migrateTemplate(ctx, program, filepath.Join(temp, kratosTemplateDB)); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	_ = os.RemoveAll(dir) // exists only if somebody deleted the program inside it
	return os.Rename(temp, dir)
}

func goBuild(ctx context.Context, dir, program string) error {
	cmd := exec.Command("go", "build", "-tags", "sqlite", "-trimpath", "-buildvcs=false",
		"-mod=readonly", "-ldflags", "-s -w", "-o", program, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=1", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH,
		"GOTMPDIR="+dir) // so that files of a killed build are removed with the folder
	out, err := output(ctx, cmd)
	if err != nil && strings.Contains(out, "C compiler") {
		err = errors.New("it needs a C compiler: install gcc (Debian, Ubuntu: apt-get install gcc libc6-dev)")
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(out, 4096))
	}
	return nil
}

// output runs cmd and returns its output. It stops when ctx ends.
func output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := child.Run(ctx, cmd)
	return out.String(), err
}

// lockFile locks a file across processes. If a process dies, the operating system
// releases its lock.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	type result struct {
		unlock func()
		err    error
	}
	locked := make(chan result, 1)
	go func() {
		unlock, err := lockedfile.MutexAt(path).Lock()
		locked <- result{unlock, err}
	}()
	select {
	case r := <-locked:
		return r.unlock, r.err
	case <-ctx.Done():
		go func() { // release a lock that is granted after ctx ended
			if r := <-locked; r.err == nil {
				r.unlock()
			}
		}()
		return nil, ctx.Err()
	}
}

// kratosKey identifies a build by its source and the Go version.
func kratosKey() string {
	h := sha256.New()
	for _, part := range [][]byte{kratosGoMod, kratosGoSum, kratosMain,
		[]byte(runtime.Version()), []byte(runtime.GOOS + "/" + runtime.GOARCH)} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

func exeSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// tail returns at most the last n bytes of s, and starts with a whole line.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if _, after, ok := strings.Cut(s, "\n"); ok {
		s = after
	}
	return "…\n" + s
}

// kratosTemplateDB is an empty, migrated SQLite database beside the built program. A copy
// of it saves the second that a migration takes.
const kratosTemplateDB = "empty.sqlite"

// migrate migrates Kratos' database.
func (k *Kratos) migrate(ctx context.Context) error {
	if k.config.DSN == "" {
		data := filepath.Join(k.dir, kratosDataFile)
		if isFile(data) {
			return runMigrations(ctx, k.program, k.dsn())
		}
		template := filepath.Join(filepath.Dir(k.program), kratosTemplateDB)
		if isFile(template) {
			return copyFile(data, template)
		}
	}
	return runMigrations(ctx, k.program, k.dsn())
}

// migrateTemplate creates the database that migrate copies. It must be one file, so it is
// created without a write-ahead log.
func migrateTemplate(ctx context.Context, program, path string) error {
	return runMigrations(ctx, program, sqliteDSN(path)+"&_journal_mode=DELETE")
}

func runMigrations(ctx context.Context, program, dsn string) error {
	cmd := kratosCommand(program, filepath.Dir(program), []string{"DSN=" + dsn}, "migrate", "sql", "-e", "--yes")
	out, err := output(ctx, cmd)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(out, 4096))
	}
	return nil
}

// copyFile copies from to a new file.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
