package chaos

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// Disk is a small disk of its own, in memory.
type Disk struct {
	Path string
	t    testing.TB
}

// NewDisk mounts a disk until the end of the test. That needs Linux, and root or sudo
// without a password.
func NewDisk(t testing.TB, bytes int) *Disk {
	t.Helper()
	path, err := os.MkdirTemp("", "symbolon-disk-*") // Postgres' own user cannot enter a t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	d := &Disk{path, t}
	if out, err := asRoot("mount", "-t", "tmpfs", "-o", "mode=0777,size="+strconv.Itoa(bytes), "tmpfs", d.Path); err != nil {
		t.Fatalf("this test mounts a small disk, which needs root, or sudo without a password: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		_, _ = asRoot("umount", "--lazy", path)
		_ = os.Remove(path)
	})
	return d
}

func asRoot(command ...string) ([]byte, error) {
	if os.Geteuid() != 0 {
		command = append([]string{"sudo", "-n"}, command...)
	}
	return exec.Command(command[0], command[1:]...).CombinedOutput()
}

// Fill fills the disk to the last byte. free makes room again.
func (d *Disk) Fill() (free func()) {
	d.t.Helper()
	ballast := filepath.Join(d.Path, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
	return func() { _ = os.Remove(ballast) }
}

// Tablespace makes a tablespace on the disk, for databases of the Postgres behind db. The
// caller must drop its databases before the end of the test.
func (d *Disk) Tablespace(db *sql.DB) (name string) {
	d.t.Helper()
	name, path := "disk_"+strings.ToLower(rand.Text()), filepath.Join(d.Path, "postgres")
	for _, text := range []string{
		`copy (select 1) to program 'cat > /dev/null; mkdir -m 700 ` + path + `'`, // the folder must belong to Postgres' own user
		`create tablespace ` + name + ` location '` + path + `'`,
	} {
		if _, err := db.ExecContext(d.t.Context(), text); err != nil {
			d.t.Fatalf("%s: %v", text, err)
		}
	}
	d.t.Cleanup(func() {
		ctx, cancel := wait.Detached(d.t.Context(), 10*time.Second)
		defer cancel()
		if _, err := db.ExecContext(ctx, `drop tablespace `+name); err != nil {
			d.t.Errorf("drop the tablespace: %v", err)
		}
	})
	return name
}
