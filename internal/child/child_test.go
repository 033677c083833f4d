//go:build unix

package child_test

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symbolon-id/symbolon/internal/child"
)

// TestMain also runs as the parent process that TestOrphan kills.
func TestMain(m *testing.M) {
	if os.Getenv("SYMBOLON_CHILD_TEST") == "parent" {
		parent()
		return
	}
	goleak.VerifyTestMain(m)
}

// parent starts a child, prints its PID and waits to be killed.
func parent() {
	p, err := child.Start(exec.Command("sleep", "600"), syscall.SIGKILL)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(p.PID()) + "\n")
	_ = p.Err()
}

// alive reports whether pid is a running process. An orphan may stay a zombie, because
// many containers have no process that reaps it.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func TestStop(t *testing.T) {
	tests := map[string]struct {
		script   string
		pause    bool
		patience time.Duration
		want     string
	}{
		"obeys":           {script: "echo ready; exec sleep 600", patience: time.Minute, want: "signal: terminated"},
		"does not listen": {script: "trap '' TERM; echo ready; while :; do sleep 1; done", patience: 300 * time.Millisecond, want: "signal: killed"},
		"paused":          {script: "echo ready; exec sleep 600", pause: true, patience: time.Minute, want: "signal: terminated"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ready, says, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ready.Close() }()
			cmd := exec.Command("sh", "-c", tt.script)
			cmd.Stdout = says
			p, err := child.Start(cmd, syscall.SIGKILL)
			_ = says.Close()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil { // the shell has set its trap
				t.Fatal(err)
			}
			if tt.pause {
				if err := p.Pause(); err != nil {
					t.Fatal(err)
				}
			}
			p.Stop(syscall.SIGTERM, tt.patience)
			if p.Running() || p.Err() == nil || p.Err().Error() != tt.want {
				t.Fatalf("running %v, ended with %v, want %s", p.Running(), p.Err(), tt.want)
			}
			p.Kill() // Kill may be called after the end
			if err := p.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	if _, err := child.Start(exec.Command("/nonexistent/program"), syscall.SIGKILL); err == nil {
		t.Fatal("started a program that does not exist")
	}
}

// TestPause checks that a pause is complete when Pause returns, and that Pause may be
// repeated.
func TestPause(t *testing.T) {
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command("sh", "-c", "while :; do echo; done")
	cmd.Stdout = out
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	for range 20 {
		for range 2 {
			if err := p.Pause(); err != nil {
				t.Fatal(err)
			}
		}
		before, _ := out.Stat()
		time.Sleep(2 * time.Millisecond)
		if after, _ := out.Stat(); after.Size() != before.Size() {
			t.Fatal("the paused child did not stop")
		}
		if err := p.Resume(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	p.Kill()
	if err := p.Pause(); err != nil {
		t.Fatalf("pause after the end: %v", err)
	}
}
