package cli

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// Build is the build information in the binary.
type Build struct {
	Version, GoVersion string
	Revision, time     string
	modified           bool
}

// ThisBuild is the build of the running program.
func ThisBuild() Build {
	b := Build{Version: "(devel)", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	b.Version = cmp.Or(info.Main.Version, b.Version)
	b.Revision, b.time, b.modified = settings["vcs.revision"], settings["vcs.time"], settings["vcs.modified"] == "true"
	return b
}

// Commit is the commit for a version line, or empty if it is not known.
func (b Build) Commit() string {
	if b.Revision == "" {
		return ""
	}
	out := " commit " + b.Revision[:min(12, len(b.Revision))]
	if b.modified {
		out += " (modified)"
	}
	return out + " of " + b.time
}
